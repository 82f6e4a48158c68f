"""The worker process of `pocketsphinx`: decodes several utterances at once, each in its own decoder.

With a grammar, two decoders hear the utterance: the grammar's and a free loop of phones. Where the grammar explains the
sound much worse than the phones do, or leaves part of the speech unexplained, the words were not its own: then the
bundled language model decodes the utterance again, in slices, so that other utterances are not held up.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from duologue.engines.base import Transcript
from duologue.engines.framing import ABORT, DATA, END, EXPECT, FAILED, NARROW, OPEN, READY, Frame, Inbox
from duologue.engines.speech_grammar import Grammar

NICENESS = 5
"""A third of the share of the process that answers, where both want the processor: words may come a little later, but sound
that is late for a call is lost."""
_BLOCK_BYTES = 1_024
"""32 ms at 16 kHz. Sound is decoded in blocks of one size, so that its chunking cannot change the result."""
_SLICE_BLOCKS = 2
_TURN_BLOCKS = 4
"""How much of one utterance is decoded before the next one's turn: whoever sends a long clip keeps nobody waiting."""
_FRAMES_A_TURN = 64
"""How many frames are taken in between two turns."""
_IDLE_DECODERS = 24
_MOST_IN_STOCK = 8
_NETWORKS = 8
"""Grammars kept as networks of words: a decoder made from one costs 45 ms and 7 MB, from the text 125 ms and 18 MB."""
# How much worse than free phones (log score x 1,000) a grammar's words may explain the sound as a whole, and how much of
# the speech they must cover. Measured with the console's grammar and two voices: of 48 sentences inside it each, nine in
# ten of those understood are kept; all 20 outside it are rejected.
_SLACK = 50.0
# Over a telephone line: six more of forty clips are understood, five of them right; noise and other speech begin at 110.
_NARROW_SLACK = 100.0
_LEAST_COVERAGE = 0.7
# Beams that keep a grammar of 1,000 city names at a tenth of a core; with the usual weight (6.5) of the grammar's own
# probabilities a long list of words would count against whichever was said. Searching the lattice once more at the end
# (`bestpath`) cost 57 ms at the median and 140 at p95, while the user waits, and understood no more; a dearer word (`wip`)
# keeps a breath from becoming one.
_GRAMMAR_SEARCH = {
    "lw": 1.0, "wip": 0.1, "beam": 1e-30, "wbeam": 1e-20, "pbeam": 1e-30, "maxhmmpf": 3_000, "bestpath": False,
}  # fmt: skip
_NOT_SPEECH = frozenset({"SIL", "+SPN+", "+NSN+", "<sil>", "(NULL)", "[SPEECH]", "[NOISE]"})
# The model's own start value for cepstral means; each utterance begins with it, whoever spoke before.
_CEPSTRAL_MEANS = "41.00,-5.29,-0.12,5.09,2.48,-4.07,-1.37,-1.78,-5.08,-2.05,-6.45,-1.42,1.17"


class _Models:
    """Decoders by what they decode; those in use belong to one utterance, idle ones are kept for the next."""

    def __init__(self) -> None:
        import pocketsphinx

        self._make = pocketsphinx.Decoder
        self._path = Path(pocketsphinx.get_model_path("en-us"))
        self._idle: OrderedDict[int, tuple[bytes, Any]] = OrderedDict()
        self._networks: OrderedDict[bytes, Any] = OrderedDict()
        self._number = 0
        self.language_model = self._decoder(
            dict=str(self._path / "cmudict-en-us.dict"), lm=str(self._path / "en-us.lm.bin")
        )
        self.give_back(b"phones", self.take_phones())

    def take_phones(self) -> Any:
        """A loop of phones: the least assumption about what was said."""
        return self._take(b"phones") or self._make_phones()

    def take_grammar(self, key: bytes, grammar: Grammar) -> Any:
        return self._take(key) or self._make_grammar(key, grammar)

    def stock(self, count: int, key: bytes, grammar: Grammar) -> bool:
        """Make one of the decoders that so many utterances in that grammar would lack; False where they lack none."""
        idle = [idle_key for idle_key, _ in self._idle.values()]
        if grammar.jsgf and idle.count(key) < count:
            self.give_back(key, self._make_grammar(key, grammar))
        elif idle.count(b"phones") < count:
            self.give_back(b"phones", self._make_phones())
        else:
            return False
        return True

    def _make_phones(self) -> Any:
        return self._decoder(
            allphone=str(self._path / "en-us-phone.lm.bin"), allphone_ci=True, lw=2.0, beam=1e-20, pbeam=1e-20,
            words="a AH\n", lm=None,
        )  # fmt: skip

    def _make_grammar(self, key: bytes, grammar: Grammar) -> Any:
        decoder = self._decoder(words=grammar.dictionary, lm=None, **_GRAMMAR_SEARCH)
        network = self._networks.get(key) or decoder.parse_jsgf(grammar.jsgf)
        self._networks[key] = network
        self._networks.move_to_end(key)
        if len(self._networks) > _NETWORKS:
            self._networks.popitem(last=False)
        decoder.add_fsg("hints", network)
        decoder.activate_search("hints")
        return decoder

    def give_back(self, key: bytes, decoder: Any) -> None:
        self._number += 1
        self._idle[self._number] = (key, decoder)
        if len(self._idle) > _IDLE_DECODERS:
            self._idle.popitem(last=False)

    def _take(self, key: bytes) -> Any:
        for number, (idle_key, decoder) in reversed(self._idle.items()):
            if idle_key == key:
                del self._idle[number]
                return decoder
        return None

    def _decoder(self, words: str | None = None, **options: Any) -> Any:
        if words is None:
            return self._make(hmm=str(self._path / "en-us"), loglevel="FATAL", **options)
        # The whole dictionary would cost each decoder 100 ms and 30 MB, and a file of its own would be left behind by a
        # process that ends at once.
        decoder = self._decoder(dict=None, **options)
        for line in words.splitlines():
            decoder.add_word(*line.split(" ", 1), False)
        return decoder


class _Utterance:
    """Sound of one call on its way through the decoders."""

    def __init__(self, call: int, key: bytes, models: _Models) -> None:
        self.call = call
        self.sound = bytearray()
        self.finished = False
        self.decoded_bytes = 0
        """How far the language model has come."""
        self.asked: list[int] = []
        """What is to be answered once all sound until then has been decoded."""
        self._heard_bytes = 0
        self.key = key
        self.slack = _SLACK
        self._models = models
        self.grammar = msgspec.msgpack.decode(key, type=Grammar)
        self._grammar = models.take_grammar(key, self.grammar) if self.grammar.jsgf else None
        self._phones = models.take_phones()
        for decoder in self._decoders():
            _begin(decoder)

    @property
    def has_grammar(self) -> bool:
        return self._grammar is not None

    def hear(self, blocks: int) -> bool:
        """Decode at most so many blocks of its sound; True where more are left."""
        whole = len(self.sound) - len(self.sound) % _BLOCK_BYTES
        self._decode(min(whole, self._heard_bytes + blocks * _BLOCK_BYTES))
        return self._heard_bytes < whole

    def finish(self) -> Transcript | None:
        """The transcript, empty where no speech was heard; None where the language model has to tell."""
        self.finished = True
        self._decode(len(self.sound))
        for decoder in self._decoders():
            decoder.end_utt()
        speech = _frames(self._phones)
        if not speech:
            return Transcript(text="", confidence=0.0)
        text, margin = self._in_grammar(speech)
        return Transcript(text=text, confidence=round(1 / (1 + math.exp(-2 - margin)), 3)) if text else None

    def so_far(self) -> str:
        """What the grammar makes of the sound until now, empty where it does not explain it."""
        speech = set() if self.finished else _frames(self._phones)
        return self._in_grammar(speech)[0] if speech else ""

    def _in_grammar(self, speech: set[int]) -> tuple[str, float]:
        """The grammar's words for that speech, and by how much they explain it better than they must; "" if not."""
        hypothesis = self._grammar.hyp() if self._grammar else None
        if self._grammar is None or hypothesis is None or not hypothesis.hypstr:
            return "", 0.0
        coverage = len(_frames(self._grammar) & speech) / len(speech)
        lost = 1_000 * (math.log(self._phones.hyp().score) - math.log(hypothesis.score))
        margin = (self.slack - lost) / len(speech)
        if margin < 0 or coverage < _LEAST_COVERAGE:
            return "", 0.0
        return str(hypothesis.hypstr), margin

    def release(self) -> None:
        """Give the decoders back."""
        for decoder in self._decoders():
            if not self.finished:
                decoder.end_utt()
        if self._grammar:
            self._models.give_back(self.key, self._grammar)
        if self._phones:
            self._models.give_back(b"phones", self._phones)
        self._grammar = self._phones = None

    def _decode(self, until: int) -> None:
        while self._heard_bytes < until:
            block = bytes(self.sound[self._heard_bytes : min(self._heard_bytes + _BLOCK_BYTES, until)])
            self._heard_bytes += len(block)
            for decoder in self._decoders():
                decoder.process_raw(block, False, False)

    def _decoders(self) -> list[Any]:
        return [decoder for decoder in (self._grammar, self._phones) if decoder]


class _Recognizer:
    """All utterances of this process; the language model takes them one after the other."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._models = _Models()
        self._utterances: dict[int, _Utterance] = {}
        self._behind: deque[_Utterance] = deque()
        """Those with sound that is still to be decoded, or with something to be answered: each in its turn."""
        self._queue: deque[_Utterance] = deque()
        """Those that wait for the language model."""
        self._decoding: _Utterance | None = None
        self._last: tuple[bytes, Grammar] | None = None
        """What the newest utterance was decoded with, or the next one may be."""
        self._most = 0
        """Utterances at the same time, until now."""

    def handle(self, frame: Frame) -> None:
        """Do what a frame asks. What it raises is the end of that call alone."""
        try:
            self._handle(frame)
        except Exception:
            self._discard(frame.call)
            raise

    def _handle(self, frame: Frame) -> None:
        if frame.kind == OPEN and not self._inbox.aborted(frame.call):
            utterance = _Utterance(frame.call, frame.body, self._models)
            self._utterances[frame.call] = utterance
            self._last = utterance.key, utterance.grammar
            self._most = max(self._most, len(self._utterances))
            if not utterance.has_grammar:
                self._queue.append(utterance)
        elif frame.kind == EXPECT:
            self._last = frame.body, msgspec.msgpack.decode(frame.body, type=Grammar)
        elif frame.kind == ABORT:
            self.drop(frame.call)
        elif utterance_or_none := self._utterances.get(frame.call):
            if frame.kind == NARROW:
                utterance_or_none.slack = _NARROW_SLACK
                return
            if frame.kind == DATA:
                utterance_or_none.sound += frame.body
            else:
                utterance_or_none.asked.append(frame.kind)
            if utterance_or_none not in self._behind:
                self._behind.append(utterance_or_none)

    def work(self) -> bool:
        """One utterance's turn, and a slice of what the language model decodes; else prepare for the next utterance.

        False when there is nothing to do.
        """
        if self._behind:
            behind = self._behind.popleft()
            self._inbox.guard(behind.call, lambda: self._work_on(behind, self._listen))
        utterance = self._decoding or (self._queue.popleft() if self._queue else None)
        if utterance is None:
            return bool(self._behind) or self._stock()
        self._inbox.guard(utterance.call, lambda: self._work_on(utterance, self._decode_slice))
        if self._behind or self._decoding is None:
            return bool(self._behind or self._queue)
        return len(utterance.sound) - utterance.decoded_bytes >= _BLOCK_BYTES or utterance.finished

    def _stock(self) -> bool:
        """While nobody speaks, make a decoder that is wanted as soon as one more than ever before speak at once."""
        if self._utterances or self._last is None:
            return False
        return self._models.stock(min(self._most + 1, _MOST_IN_STOCK), *self._last)

    def _work_on(self, utterance: _Utterance, work: Callable[[_Utterance], None]) -> None:
        try:
            work(utterance)
        except Exception:
            self._discard(utterance.call)
            raise

    def _listen(self, utterance: _Utterance) -> None:
        if utterance.hear(_TURN_BLOCKS):
            self._behind.append(utterance)
            return
        for kind in utterance.asked:
            if kind == END:
                self._finish(utterance)
            else:
                self._inbox.send(utterance.call, DATA, msgspec.msgpack.encode(utterance.so_far()))
        utterance.asked.clear()

    def _decode_slice(self, utterance: _Utterance) -> None:
        if self._decoding is None:
            self._decoding = utterance
            _begin(self._models.language_model)
        for _ in range(_SLICE_BLOCKS):
            left = len(utterance.sound) - utterance.decoded_bytes
            if left >= _BLOCK_BYTES or (utterance.finished and left):
                block = bytes(utterance.sound[utterance.decoded_bytes : utterance.decoded_bytes + _BLOCK_BYTES])
                utterance.decoded_bytes += len(block)
                self._models.language_model.process_raw(block, False, False)
        if utterance.decoded_bytes == len(utterance.sound) and utterance.finished:
            self._conclude(utterance)

    def drop(self, call: int) -> None:
        """Forget an utterance, wherever it is."""
        utterance = self._utterances.get(call)
        if utterance is None:
            return
        utterance.release()
        self._remove(utterance)

    def _discard(self, call: int) -> None:
        """Forget an utterance that failed, its decoders too: in what state they are nobody knows."""
        utterance = self._utterances.get(call)
        if utterance is not None:
            with contextlib.suppress(Exception):  # the language model may have failed itself
                self._remove(utterance)

    def _remove(self, utterance: _Utterance) -> None:
        self._utterances.pop(utterance.call, None)
        if utterance in self._behind:
            self._behind.remove(utterance)
        if utterance in self._queue:
            self._queue.remove(utterance)
        if utterance is self._decoding:
            self._decoding = None
            self._models.language_model.end_utt()

    def _finish(self, utterance: _Utterance) -> None:
        transcript = utterance.finish()
        if transcript is not None:
            self._answer(utterance, transcript)
        elif utterance.has_grammar:
            self._queue.append(utterance)

    def _conclude(self, utterance: _Utterance) -> None:
        model = self._models.language_model
        self._decoding = None
        model.end_utt()
        hypothesis = model.hyp()
        text = hypothesis.hypstr if hypothesis else ""
        self._answer(utterance, Transcript(text=text, confidence=None))

    def _answer(self, utterance: _Utterance, transcript: Transcript) -> None:
        self._inbox.send(utterance.call, DATA, msgspec.msgpack.encode(transcript))
        self._inbox.send(utterance.call, END)
        self.drop(utterance.call)


def _begin(decoder: Any) -> None:
    decoder.start_stream()  # Forgets the noise of whoever spoke before.
    decoder.set_cmn(_CEPSTRAL_MEANS)
    decoder.start_utt()


def _frames(decoder: Any) -> set[int]:
    """The 10 ms frames in which the decoder heard words or phones."""
    heard: set[int] = set()
    for segment in decoder.seg() or ():
        if segment.word not in _NOT_SPEECH:
            heard.update(range(segment.start_frame, segment.end_frame + 1))
    return heard


def main() -> None:
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    inbox = Inbox()
    try:
        recognizer = _Recognizer(inbox)
    except Exception as error:
        inbox.send(0, FAILED, f"{type(error).__name__}: {error}".encode())
        return
    inbox.send(0, READY)
    busy = False
    while True:
        frame = inbox.next(wait=not busy)
        taken = 0
        while frame is not None:
            inbox.guard(frame.call, lambda frame=frame: recognizer.handle(frame))  # type: ignore[misc]
            taken += 1
            frame = inbox.next(wait=False) if taken < _FRAMES_A_TURN else None
        busy = recognizer.work()


if __name__ == "__main__":
    main()
