"""What runs inside Redis: each script sees a session's keys at one moment, so that no two gateways write to it."""

from __future__ import annotations

from typing import Final

# The names of the keys of a session, after its own.
KEYS: Final = ("session", "streams", "states", "segments", "owner")

# `owner` is a lease, which runs out; `holder`, the gateway that claimed the session last, stays: what one before it had
# waiting comes too late, however long that was away.
# KEYS: a session's keys in the order above. ARGV: owner, lease ms, retention ms, now, what, and what it needs.
WRITE: Final = """
if redis.call('HEXISTS', KEYS[1], 'deleted') == 1 then return 'deleted' end
local owner = redis.call('GET', KEYS[5])
if owner and owner ~= ARGV[1] then return 'lost' end
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then return 'lost' end
local what = ARGV[5]
if what == 'session' then
    redis.call('HSETNX', KEYS[1], 'created_at', ARGV[4])
    redis.call('HSET', KEYS[1], 'holder', ARGV[1])
    redis.call('HDEL', KEYS[1], 'closed')
elseif redis.call('EXISTS', KEYS[1]) == 0 then
    return 'unknown'
elseif what == 'stream' then
    if redis.call('HSETNX', KEYS[3], ARGV[6], '') == 1 then redis.call('RPUSH', KEYS[2], ARGV[7]) end
elseif redis.call('HEXISTS', KEYS[3], ARGV[6]) == 0 then
    return 'unknown'
elseif what == 'segment' then
    redis.call('HSETNX', KEYS[4], ARGV[6] .. ':' .. ARGV[7], ARGV[8])
    if ARGV[9] ~= '' then redis.call('HSET', KEYS[3], ARGV[6], ARGV[9]) end
elseif what == 'state' then
    redis.call('HSET', KEYS[3], ARGV[6], ARGV[7])
elseif what == 'end' then
    redis.call('HSET', KEYS[1], 'ended:' .. ARGV[6], '1')
    redis.call('HSET', KEYS[3], ARGV[6], ARGV[7])
end
redis.call('SET', KEYS[5], ARGV[1], 'PX', ARGV[2])
for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
return 'ok'
"""
# What is read first, and taken: ARGV: owner, lease ms. An empty answer: unknown.
CLAIM: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
if redis.call('HEXISTS', KEYS[1], 'deleted') == 0 and ARGV[1] ~= '' then
    redis.call('SET', KEYS[5], ARGV[1], 'PX', ARGV[2])
    redis.call('HSET', KEYS[1], 'holder', ARGV[1])
end
return {
    redis.call('HGETALL', KEYS[1]), redis.call('LRANGE', KEYS[2], 0, -1),
    redis.call('HGETALL', KEYS[3]), redis.call('HGETALL', KEYS[4])
}
"""
RENEW: Final = """
if redis.call('HEXISTS', KEYS[1], 'deleted') == 1 then return 'deleted' end
local owner = redis.call('GET', KEYS[5])
if owner and owner ~= ARGV[1] then return 'lost' end
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then return 'lost' end
redis.call('SET', KEYS[5], ARGV[1], 'PX', ARGV[2])
return 'ok'
"""
# ARGV: owner, retention ms, whether the session is over.
RELEASE: Final = """
if redis.call('GET', KEYS[5]) ~= ARGV[1] then return 'ok' end
redis.call('DEL', KEYS[5])
if ARGV[3] == '1' and redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('HSET', KEYS[1], 'closed', '1')
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 'ok'
"""
# ARGV: retention ms.
DELETE: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[1], 'deleted') == 1 then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5])
redis.call('HSET', KEYS[1], 'deleted', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""
