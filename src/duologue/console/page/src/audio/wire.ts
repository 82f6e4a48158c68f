// The frames of /ws/audio, little-endian: one byte that says what it is, three of padding, then as noted.
// Sound is signed 16-bit mono PCM at 24 kHz.

export const RATE_HZ = 24000;

/** To the page: u32 track, then sound. */
export const SOUND = 1;
/** To the page: u32 request. Stop at once and answer with CLEARED. */
export const CLEAR = 2;
/** To the page: u32 track. No more sound of this track will come. */
export const END = 3;

/** From the page: sound of the microphone. */
export const MIC = 1;
/** From the page: pairs of u32 track, u32 samples played so far. */
export const HEARD = 2;
/** From the page: u32 request (0: the page itself decided to stop), then pairs as in HEARD. */
export const CLEARED = 3;
/** From the page: the push-to-talk button went down. */
export const PRESS = 4;
/** From the page: the button was released; all the sound of it has been sent. */
export const RELEASE = 5;

export const HEADER_BYTES = 4;

export function frame(kind: number, ...words: number[]): ArrayBuffer {
  const buffer = new ArrayBuffer(HEADER_BYTES + 4 * words.length);
  const view = new DataView(buffer);
  view.setUint8(0, kind);
  words.forEach((word, index) => view.setUint32(HEADER_BYTES + 4 * index, word, true));
  return buffer;
}
