/**
 * Binary WebSocket frames: terminal bytes. Everything else is a JSON text frame (see messages.ts).
 *
 * Layout, big-endian:
 *
 *     byte 0      kind: 1 = output (runner to page), 2 = input (page to runner), 3 = screen (runner to page)
 *     byte 1      channel: the terminal's number, from the `hello` and `terminals` messages
 *     bytes 2-9   offset, see below
 *     bytes 10-   the terminal's bytes; gateway and runner never decode them
 *
 * The offset counts the bytes before this frame. In an output frame these are the bytes of the terminal's output, in a screen frame
 * the bytes of this screen, and in an input frame the bytes that this page (its `clientId`, see `attach`) typed into this terminal.
 * The runner drops input bytes that it already has. If input bytes are missing, it closes the socket.
 */
import { LabError } from './errors';

export const frameHeaderBytes = 10;
const frameKinds = { output: 1, input: 2, screen: 3 } as const;
type FrameKind = keyof typeof frameKinds;

const kindsByByte = new Map<number, FrameKind>(
  Object.entries(frameKinds).map(([kind, byte]) => [byte, kind as FrameKind]),
);

/** Longest input of one frame. 64 KiB holds any sensible paste and limits what a hostile client can queue. */
export const maxInputBytes = 64 * 1024;

export interface Frame {
  kind: FrameKind;
  channel: number;
  offset: number;
  bytes: Uint8Array;
}

export function encodeFrame(frame: Frame): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(frameHeaderBytes + frame.bytes.length);
  const view = new DataView(out.buffer);
  view.setUint8(0, frameKinds[frame.kind]);
  view.setUint8(1, frame.channel);
  view.setBigUint64(2, BigInt(frame.offset));
  out.set(frame.bytes, frameHeaderBytes);
  return out;
}

/** @throws LabError `bad-message` when the frame is too short, of an unknown kind, or its offset is not a safe integer. */
export function decodeFrame(data: Uint8Array): Frame {
  if (data.length < frameHeaderBytes) {
    throw new LabError('bad-message', `A binary frame of ${data.length} bytes is shorter than its header.`);
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const kind = kindsByByte.get(view.getUint8(0));
  if (kind === undefined) {
    throw new LabError('bad-message', `A binary frame has the unknown kind ${view.getUint8(0)}.`);
  }
  const offset = Number(view.getBigUint64(2));
  if (!Number.isSafeInteger(offset))
    throw new LabError('bad-message', 'A binary frame has an impossible offset.');
  return { kind, channel: view.getUint8(1), offset, bytes: data.subarray(frameHeaderBytes) };
}
