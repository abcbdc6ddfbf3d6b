import { describe, expect, it } from 'vitest';
import { lockHolder, tryLock } from './lock';

/** Names a lock that no other run of this test has. */
const path = (name: string) => `/nowhere/${process.pid}/${name}`;

describe('tryLock', () => {
  it('gives the lock to one and tells the other who has it', async () => {
    let note = 'starting';
    const first = await tryLock(path('a'), () => note);
    expect(first.isHeld).toBe(true);
    note = 'http://localhost:3000';
    expect(await tryLock(path('a'))).toEqual({ isHeld: false, holder: { pid: process.pid, note } });
  });

  it('is free again after its release', async () => {
    const first = await tryLock(path('b'));
    if (first.isHeld) await first.release();
    expect(await lockHolder(path('b'))).toBeUndefined();
    expect((await tryLock(path('b'))).isHeld).toBe(true);
  });

  it('is another lock for another path', async () => {
    await tryLock(path('c'));
    expect((await tryLock(path('d'))).isHeld).toBe(true);
  });
});
