import { describe, expect, test } from 'vitest';
import { InputQueue, inputWindowBytes, maxAgeMs, maxWaitingBytes } from './input-queue';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const taken = (queue: InputQueue): [number, string] | undefined => {
  const next = queue.take();
  return next && [next.offset, new TextDecoder().decode(next.bytes)];
};

describe('InputQueue', () => {
  test('gives each byte once, with its offset', () => {
    const queue = new InputQueue();
    queue.push(bytes('l'), 0);
    expect(taken(queue)).toEqual([0, 'l']);
    queue.push(bytes('s'), 1);
    queue.push(bytes(' -l'), 2);
    expect(taken(queue)).toEqual([1, 's -l']);
    expect(taken(queue)).toBeUndefined();
    queue.ack(3);
    queue.push(bytes('\r'), 3);
    expect(taken(queue)).toEqual([5, '\r']);
  });

  test('repeats unacknowledged bytes after a break, from the server’s offset', () => {
    const queue = new InputQueue();
    queue.push(bytes('echo '), 0);
    queue.push(bytes('a'), 0);
    queue.take();
    queue.push(bytes('\r'), 0);
    expect(queue.resume(3, maxAgeMs - 1)).toBe(0);
    expect(taken(queue)).toEqual([3, 'o a\r']);
    queue.ack(7);
    expect(queue.resume(7, maxAgeMs)).toBe(0);
    expect(taken(queue)).toBeUndefined();
  });

  test('drops everything when the oldest byte is too old, and continues at the server’s offset', () => {
    const queue = new InputQueue();
    queue.push(bytes('a'), 0);
    queue.push(bytes('b'), 0);
    queue.take();
    queue.push(bytes('c'), maxAgeMs);
    expect(queue.resume(1, maxAgeMs)).toBe(2);
    queue.push(bytes('d'), maxAgeMs);
    expect(taken(queue)).toEqual([1, 'd']);
  });

  test('sends a paste window by window, and refuses one that is too long', () => {
    const queue = new InputQueue();
    const paste = new Uint8Array(inputWindowBytes + 10).fill(97);
    expect(queue.push(paste, 0)).toBe(true);
    expect(queue.take()?.bytes.length).toBe(inputWindowBytes);
    expect(queue.take()).toBeUndefined();
    queue.ack(4);
    expect(queue.take()).toEqual({ offset: inputWindowBytes, bytes: paste.subarray(0, 4) });
    expect(queue.push(new Uint8Array(maxWaitingBytes), 0)).toBe(false);
    queue.ack(inputWindowBytes + 4);
    expect(queue.take()?.bytes.length).toBe(6);
  });
});
