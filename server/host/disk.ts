import { execa } from 'execa';
import { LabError } from '../protocol/errors';

/**
 * Makes an empty qcow2 overlay. Reads fall through to `backing`; QEMU never writes to it.
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
    throw new LabError('qemu-failed', `Cannot make a disk overlay at ${file}.`, { cause });
  }
}
