import { expect, test } from 'vitest';
import { LabError } from './errors';
import { decodeFrame, encodeFrame, frameHeaderBytes } from './frames';

test('a frame survives encoding and decoding, at any position of a larger buffer', () => {
  const frame = {
    kind: 'output' as const,
    channel: 255,
    offset: Number.MAX_SAFE_INTEGER,
    bytes: Uint8Array.of(0, 255, 27, 128),
  };
  const encoded = encodeFrame(frame);
  const embedded = new Uint8Array(encoded.length + 7);
  embedded.set(encoded, 3);
  expect(decodeFrame(embedded.subarray(3, 3 + encoded.length))).toEqual(frame);
});

test.each([
  ['too short', new Uint8Array(frameHeaderBytes - 1)],
  ['of an unknown kind', new Uint8Array(frameHeaderBytes).fill(9, 0, 1)],
  ['with an offset beyond safe integers', Uint8Array.of(1, 0, ...new Array<number>(8).fill(255))],
])('a frame %s is refused', (_, data) => {
  expect(() => decodeFrame(data)).toThrow(LabError);
});
