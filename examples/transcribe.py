"""A recording becomes text, as fast as the server listens."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from duologue import ConnectionOptions, RealtimeClient
from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav
from duologue.client.conversation import Update

RATE_HZ = 24_000
CHUNK_BYTES = RATE_HZ * 2 // 10


async def main(url: str, path: Path, model: str) -> None:
    wav = parse_wav(path.read_bytes())
    sound = resample(wav.mono(), wav.spec.rate_hz, RATE_HZ)
    client = RealtimeClient(url, model=model, connection=ConnectionOptions(transcription=True))
    done = asyncio.Event()

    def words(update: Update) -> None:
        if update.item.transcribed:
            print(update.item.formatted.transcript)
            done.set()

    client.on("conversation.updated", words)
    async with client:
        for start in range(0, len(sound), CHUNK_BYTES):
            await client.append_input_audio(sound[start : start + CHUNK_BYTES])
        await client.commit_input_audio()
        await asyncio.wait_for(done.wait(), 60)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default="ws://127.0.0.1:8000/v1/realtime")
    parser.add_argument("--model", default="gpt-4o-mini-transcribe")
    options = parser.parse_args()
    asyncio.run(main(options.url, options.file, options.model))
