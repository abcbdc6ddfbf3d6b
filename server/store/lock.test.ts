import { describe, expect, test } from 'vitest';
import { lockHolder, tryLock } from './lock';

/** The path of a lock that no other run of this test uses. */
const path = (name: string) => `/nowhere/${process.pid}/${name}`;

describe('tryLock', () => {
  test('gives the lock to one caller and names the holder to the other', async () => {
    let note = 'starting';
    const first = await tryLock(path('a'), () => note);
    expect(first.isHeld).toBe(true);
    note = 'http://localhost:3000';
    expect(await tryLock(path('a'))).toEqual({ isHeld: false, holder: { pid: process.pid, note } });
  });

  test('is free again after its release', async () => {
    const first = await tryLock(path('b'));
    if (first.isHeld) await first.release();
    expect(await lockHolder(path('b'))).toBeUndefined();
    expect((await tryLock(path('b'))).isHeld).toBe(true);
  });

  test('is another lock for another path', async () => {
    await tryLock(path('c'));
    expect((await tryLock(path('d'))).isHeld).toBe(true);
  });
});
