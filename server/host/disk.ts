import { execa } from 'execa';
import { LabError } from '../protocol/errors';

/**
 * Makes an empty qcow2 overlay; reads go through to `backing`, which is never written.
 * @throws LabError `qemu-failed`
 */
export async function createOverlay(
  file: string,
  backing: string,
  backingFormat: 'raw' | 'qcow2',
): Promise<void> {
  try {
    await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', backing, '-F', backingFormat, file]);
  } catch (cause) {
    throw new LabError('qemu-failed', `No disk overlay could be made at ${file}.`, { cause });
  }
}
