"""The Lua scripts that run inside Redis. Each is atomic, so no two gateways write to a session at the same time."""

from __future__ import annotations

from typing import Final

# The keys of a session; each name follows the session's own prefix.
KEYS: Final = ("session", "streams", "states", "segments", "owner", "analyses")

# `owner` is a lease, which expires. `holder` is the gateway that claimed the session last, and it stays: Redis refuses
# the delayed writes of an earlier gateway, however long that gateway could not reach Redis.
#
# Answers: `ok`; `lost`: another gateway claimed the session; `deleted`; `unknown`: Redis does not have the session;
# `unknown_stream`: it has the session but not the stream.
#
# KEYS: a session's keys in the order above. ARGV: owner, lease in ms, retention in ms, the kind of write, its values.
# `session` has the values created_at, "1" if Redis had the session before, in which case it is not created again, and
# the tenant (whose API key opened the session; empty: nobody's).
# `enter` has created_at and the tenant, then for each stream: key, record, state, and "1" if it has ended. Of a stream
# that is there it changes one thing: one that has ended ends, if Redis lost that (a replica took over). Nothing changes
# the state of a stream that has ended, except a repeated `end`. After their own values, `segment`, `state` and
# `analyses` have the stream's analyses: the key and the data of each.
WRITE: Final = """
if redis.call('HEXISTS', KEYS[1], 'deleted') == 1 then return 'deleted' end
local owner = redis.call('GET', KEYS[5])
if owner and owner ~= ARGV[1] then return 'lost' end
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then return 'lost' end
local kind = ARGV[4]
local is_known = redis.call('EXISTS', KEYS[1]) == 1
if kind == 'session' then
    if ARGV[6] == '1' and not is_known then return 'unknown' end
    redis.call('HSETNX', KEYS[1], 'created_at', ARGV[5])
    redis.call('HSETNX', KEYS[1], 'tenant', ARGV[7])
    redis.call('HSET', KEYS[1], 'holder', ARGV[1])
    redis.call('HDEL', KEYS[1], 'closed')
elseif kind == 'enter' then
    redis.call('HSETNX', KEYS[1], 'created_at', ARGV[5])
    redis.call('HSETNX', KEYS[1], 'tenant', ARGV[6])
    redis.call('HSET', KEYS[1], 'holder', ARGV[1])
    for i = 7, #ARGV, 4 do
        if redis.call('HSETNX', KEYS[3], ARGV[i], ARGV[i + 2]) == 1 then redis.call('RPUSH', KEYS[2], ARGV[i + 1]) end
        if ARGV[i + 3] == '1' and redis.call('HSETNX', KEYS[1], 'ended:' .. ARGV[i], '1') == 1 then
            redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 2])
        end
    end
elseif not is_known then
    return 'unknown'
elseif kind == 'stream' then
    if redis.call('HSETNX', KEYS[3], ARGV[5], '') == 1 then redis.call('RPUSH', KEYS[2], ARGV[6]) end
elseif kind ~= 'touch' then
    if redis.call('HEXISTS', KEYS[3], ARGV[5]) == 0 then return 'unknown_stream' end
    local function keep_analyses(first)
        for i = first, #ARGV, 2 do redis.call('HSET', KEYS[6], ARGV[5] .. ':' .. ARGV[i], ARGV[i + 1]) end
    end
    local is_open = redis.call('HEXISTS', KEYS[1], 'ended:' .. ARGV[5]) == 0
    if kind == 'segment' then
        redis.call('HSETNX', KEYS[4], ARGV[5] .. ':' .. ARGV[6], ARGV[7])
        if ARGV[8] ~= '' and is_open then redis.call('HSET', KEYS[3], ARGV[5], ARGV[8]) end
        keep_analyses(9)
    elseif kind == 'state' then
        if is_open then redis.call('HSET', KEYS[3], ARGV[5], ARGV[6]) end
        keep_analyses(7)
    elseif kind == 'analyses' then
        keep_analyses(6)
    elseif kind == 'end' then
        redis.call('HSET', KEYS[1], 'ended:' .. ARGV[5], '1')
        redis.call('HSET', KEYS[3], ARGV[5], ARGV[6])
    end
end
redis.call('SET', KEYS[5], ARGV[1], 'PX', ARGV[2])
for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
redis.call('PEXPIRE', KEYS[6], ARGV[3])
return 'ok'
"""
# Reads a session and claims it. ARGV: owner, empty to read only; lease in ms; "1" to read its analyses, too. The answer
# for an unknown one is empty.
CLAIM: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
if redis.call('HEXISTS', KEYS[1], 'deleted') == 0 and ARGV[1] ~= '' then
    redis.call('SET', KEYS[5], ARGV[1], 'PX', ARGV[2])
    redis.call('HSET', KEYS[1], 'holder', ARGV[1])
end
local analyses = {}
if ARGV[3] == '1' then analyses = redis.call('HGETALL', KEYS[6]) end
return {
    redis.call('HGETALL', KEYS[1]), redis.call('LRANGE', KEYS[2], 0, -1),
    redis.call('HGETALL', KEYS[3]), redis.call('HGETALL', KEYS[4]), analyses
}
"""
# Renews the lease. ARGV: owner, lease in ms.
RENEW: Final = """
if redis.call('HEXISTS', KEYS[1], 'deleted') == 1 then return 'deleted' end
local owner = redis.call('GET', KEYS[5])
if owner and owner ~= ARGV[1] then return 'lost' end
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then return 'lost' end
redis.call('SET', KEYS[5], ARGV[1], 'PX', ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 0 then return 'unknown' end
return 'ok'
"""
# Ends the lease; does nothing if the session is another gateway's, or deleted. A lease that expired does not matter.
# ARGV: owner, retention in ms, "1" if the session is over.
RELEASE: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 'unknown' end
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 'ok' end
redis.call('DEL', KEYS[5])
if ARGV[3] == '1' then
    redis.call('HSET', KEYS[1], 'closed', '1')
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 'ok'
"""
# Deletes a session and leaves a mark, so that neither a delayed write nor a token brings it back, even if Redis did not
# know it. ARGV: how long the mark stays, in ms; "1" if the asking gateway holds the session. Answers 1 if it was known.
DELETE: Final = """
if redis.call('HEXISTS', KEYS[1], 'deleted') == 1 then return 0 end
local known = 0
if redis.call('EXISTS', KEYS[1]) == 1 or ARGV[2] == '1' then known = 1 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6])
redis.call('HSET', KEYS[1], 'deleted', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return known
"""
