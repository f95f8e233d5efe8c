"""What clients write in their own way: names of formats, Base64 in lines, JSON in binary frames."""

import base64
import json
import zlib

from talkup.v1 import media_pb2

from tests.e2e.gateway_rig import KEY, PCM, eventually, rig


async def test_names_that_recorders_and_telephone_gateways_give_over_one_socket() -> None:
    async with rig() as at:
        client = await at.connect(key=KEY)
        accepted = {
            "rtp": {"format": "audio/L16;rate=16000;channels=1"},
            "card": {"format": "audio/pcm", "sample_rate": 192_000},
            "av1": {"format": "video/mp4;codecs=av01.0.19M.08,opus", "services": ["stt"]},
        }
        for stream_id, fields in accepted.items():
            await client.send("stream_start", stream_id=stream_id, **fields)
            await client.get("acknowledge", stream_id=stream_id, accepted=True)
        refused = [
            ({"format": "video/mp4;codecs=hvc1.1.6.L186.B0", "services": ["vision"]}, ("HEVC", "avc1")),
            ({"format": "audio/x-ms-wma"}, ("Windows Media", "WAV or M4A")),
        ]
        for fields, words in refused:
            await client.send("stream_start", stream_id="no", **fields)
            error = (await client.get("error", code="unsupported_format", field="format"))["data"]
            assert all(word in error["message"] for word in words)

        async def calls() -> int:
            return len(at.worker.seen)

        await eventually(calls, lambda count: count == len(accepted))
        declared = {seen.start.stream_id: seen.start.start.format for seen in at.worker.seen}
        assert declared["rtp"].pcm_encoding == media_pb2.PCM_ENCODING_S16BE
        assert (declared["card"].pcm_encoding, declared["card"].sample_rate) == (
            media_pb2.PCM_ENCODING_S16LE,
            192_000,
        )
        assert declared["av1"].container == media_pb2.CONTAINER_MP4
        await client.socket.close()


async def test_base64_in_lines_is_the_chunk_and_with_a_space_it_is_an_error() -> None:
    async with rig() as at:
        client = await at.connect(key=KEY)
        await client.start()
        media = bytes(range(256))
        await client.send("stream_chunk", stream_id="abc", data=base64.encodebytes(media).decode())
        assert await client.finals(1) == [f"w0:{zlib.crc32(media):08x}"]
        spaced = base64.b64encode(media).decode().replace("+", " ")
        await client.send("stream_chunk", stream_id="abc", data=spaced)
        assert "space" in (await client.get("error", code="bad_payload"))["data"]["message"]
        await client.socket.close()


async def test_a_client_that_sends_json_as_binary_frames_comes_to_its_end() -> None:
    async with rig() as at:
        client = await at.connect()
        messages = [
            {"type": "auth", "token": KEY},
            {"type": "stream_start", "stream_id": "abc", "format": PCM},
            {"type": "stream_chunk", "stream_id": "abc", "data": "e30="},
            {"type": "stream_end", "stream_id": "abc"},
        ]
        for message in messages:
            await client.socket.send(json.dumps(message).encode())
        ended = (await client.get("stream_ended"))["data"]
        assert (ended["chunks"], ended["bytes"]) == (1, 2)
        await client.socket.close()
