/**
 * Reads and writes a clone's RAM from outside QEMU. A clone maps its template's RAM file copy-on-write. The pages that its guest has
 * changed are therefore the pages that the kernel has copied: the anonymous pages of that mapping. `/proc/<pid>/pagemap` lists them,
 * and `/proc/<pid>/mem` reads and writes them (proc(5)). Both need QEMU's user; under Yama the caller must also be QEMU's ancestor.
 *
 * A file of changed pages holds a little-endian 32-bit count, that many page numbers in ascending order, and then the pages.
 * On disk it is compressed.
 */
import { spawn } from 'node:child_process';
import { closeSync, createReadStream, createWriteStream, openSync, readSync, writeSync } from 'node:fs';
import { open, readFile, rm, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { setImmediate as otherWork } from 'node:timers/promises';
import { allocatedBytes } from '../posix';
import { LabError } from '../protocol/errors';

const pageBytes = 4096;
/** Pages per read or write: enough to make the system calls negligible beside the copying. */
const chunkPages = 256;

/** A range of QEMU's address space that maps a range of the RAM file. */
interface Mapping {
  address: number;
  /** In pages, as `pages` is. */
  firstPage: number;
  pages: number;
}

/** Adjacent pages. */
interface Run {
  firstPage: number;
  pages: number;
}

async function ramMappings(pid: number, ramFile: string): Promise<Mapping[]> {
  const lines = (await readFile(`/proc/${pid}/maps`, 'utf8')).split('\n');
  const mappings = lines.flatMap((line): Mapping[] => {
    if (!line.endsWith(` ${ramFile}`)) return [];
    // 7f0000000000-7f0040000000 rw-p 00000000 fe:00 1234   /path
    const [, from, to, offset] = /^(\w+)-(\w+) \S+ (\w+) /.exec(line) ?? [];
    if (from === undefined || to === undefined || offset === undefined) return [];
    const address = parseInt(from, 16);
    const pages = (parseInt(to, 16) - address) / pageBytes;
    return [{ address, firstPage: parseInt(offset, 16) / pageBytes, pages }];
  });
  if (mappings.length === 0) throw new LabError('qemu-failed', `QEMU has not mapped ${ramFile}.`);
  return mappings;
}

/** Groups ascending page numbers into runs of at most one chunk. */
function runsOf(pageNumbers: Uint32Array): Run[] {
  const runs: Run[] = [];
  let last: Run | undefined;
  for (const page of pageNumbers) {
    if (last && page === last.firstPage + last.pages && last.pages < chunkPages) last.pages += 1;
    else runs.push((last = { firstPage: page, pages: 1 }));
  }
  return runs;
}

function changedPages(pid: number, mappings: readonly Mapping[]): Uint32Array {
  const changed: number[] = [];
  const pagemap = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    for (const { address, firstPage, pages } of mappings) {
      const entries = new BigUint64Array(pages);
      readSync(pagemap, entries, 0, pages * 8, (address / pageBytes) * 8);
      const words = new Uint32Array(entries.buffer);
      // Documentation/admin-guide/mm/pagemap.rst of the kernel: bit 63 present, 62 swapped, 61 page of a file. All three are in the
      // upper word. Entries are in the machine's byte order, which is little-endian on x86, the only kind that the lab supports.
      for (let page = 0; page < pages; page++) {
        const flags = (words[2 * page + 1] ?? 0) >>> 29;
        if (flags > 1 && (flags & 1) === 0) changed.push(firstPage + page);
      }
    }
  } finally {
    closeSync(pagemap);
  }
  return Uint32Array.from(changed).sort();
}

function addressOf(mappings: readonly Mapping[], page: number): number {
  const mapping = mappings.find(({ firstPage, pages }) => page >= firstPage && page < firstPage + pages);
  if (!mapping) throw new LabError('qemu-failed', `QEMU has not mapped page ${page} of a host's RAM.`);
  return mapping.address + (page - mapping.firstPage) * pageBytes;
}

function header(pageNumbers: Uint32Array): Buffer {
  return Buffer.concat([
    Buffer.from(Uint32Array.of(pageNumbers.length).buffer),
    Buffer.from(pageNumbers.buffer, pageNumbers.byteOffset, pageNumbers.byteLength),
  ]);
}

/**
 * Copies a stopped clone's changed pages into `rawFile`. It blocks this process until it is done, because the guest is waiting.
 * @throws LabError `qemu-failed`, or the system's own error
 */
export async function copyChangedPages(pid: number, ramFile: string, rawFile: string): Promise<void> {
  const mappings = await ramMappings(pid, ramFile);
  const changed = changedPages(pid, mappings);
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const raw = openSync(rawFile, 'w', 0o600);
  try {
    writeSync(raw, header(changed));
    // Most runs are only a few pages long, so one write gathers many of them.
    const buffer = Buffer.alloc(16 * chunkPages * pageBytes);
    let filled = 0;
    for (const run of runsOf(changed)) {
      const bytes = run.pages * pageBytes;
      if (filled + bytes > buffer.length) {
        writeSync(raw, buffer, 0, filled);
        filled = 0;
      }
      if (readSync(memory, buffer, filled, bytes, addressOf(mappings, run.firstPage)) !== bytes) {
        throw new LabError('qemu-failed', 'Cannot read the RAM of a host.');
      }
      filled += bytes;
    }
    writeSync(raw, buffer, 0, filled);
  } finally {
    closeSync(raw);
    closeSync(memory);
  }
}

/**
 * Compresses a copy of changed pages and leaves out pages that turn out to equal the template's.
 * @throws LabError `missing-tool` without zstd, or the system's own error
 */
export async function packPages(rawFile: string, ramFile: string, packedFile: string): Promise<void> {
  const raw = await open(rawFile);
  const template = openSync(ramFile, 'r');
  try {
    const pageNumbers = await readHeader(raw);
    const kept = new Uint8Array(pageNumbers.length);
    const content = 4 + pageNumbers.byteLength;
    const copy = Buffer.alloc(chunkPages * pageBytes);
    const original = Buffer.alloc(pageBytes);
    const readChunk = (from: number) =>
      raw
        .read(copy, 0, copy.length, content + from * pageBytes)
        .then(({ bytesRead }) => bytesRead / pageBytes);
    for (let from = 0; from < pageNumbers.length; from += chunkPages) {
      const pages = await readChunk(from);
      for (let index = 0; index < pages; index++) {
        readSync(template, original, 0, pageBytes, (pageNumbers[from + index] ?? 0) * pageBytes);
        const page = copy.subarray(index * pageBytes, (index + 1) * pageBytes);
        kept[from + index] = page.equals(original) ? 0 : 1;
      }
      await otherWork();
    }
    const packed = async function* () {
      yield header(pageNumbers.filter((_, index) => kept[index] === 1));
      for (let from = 0; from < pageNumbers.length; from += chunkPages) {
        const pages = await readChunk(from);
        const wanted: Buffer[] = [];
        for (let index = 0; index < pages; index++) {
          if (kept[from + index] === 1)
            wanted.push(copy.subarray(index * pageBytes, (index + 1) * pageBytes));
        }
        yield Buffer.concat(wanted);
      }
    };
    // Level 1 is several times as fast as the default and nearly as small. One thread, because guests need the cores.
    await throughZstd(['-1', '-T1'], packed, createWriteStream(packedFile, { mode: 0o600 }));
  } finally {
    await raw.close();
    closeSync(template);
  }
  await rm(rawFile);
}

/**
 * Writes pages that {@link packPages} made into the RAM of a clone that has not run yet.
 * @throws LabError `qemu-failed` when the file ends too early, or the system's own error
 */
export async function loadPages(pid: number, ramFile: string, packedFile: string): Promise<void> {
  const mappings = await ramMappings(pid, ramFile);
  const memory = openSync(`/proc/${pid}/mem`, 'r+');
  let runs: Run[] | undefined;
  let rest: Buffer = Buffer.alloc(0);
  try {
    await throughZstd(
      ['-d'],
      () => createReadStream(packedFile),
      async (chunks) => {
        for await (const chunk of chunks) {
          rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
          if (!runs) {
            const length = 4 + 4 * (rest.length < 4 ? Infinity : rest.readUInt32LE(0));
            if (rest.length < length) continue;
            runs = runsOf(new Uint32Array(Uint8Array.from(rest.subarray(4, length)).buffer)).reverse();
            rest = rest.subarray(length);
          }
          for (;;) {
            const run = runs.at(-1);
            if (!run || rest.length < run.pages * pageBytes) break;
            runs.pop();
            const bytes = run.pages * pageBytes;
            if (writeSync(memory, rest, 0, bytes, addressOf(mappings, run.firstPage)) !== bytes) {
              throw new LabError('qemu-failed', 'Cannot write the RAM of a host.');
            }
            rest = rest.subarray(bytes);
          }
        }
      },
    );
  } finally {
    closeSync(memory);
  }
  if (!runs || runs.length > 0)
    throw new LabError('qemu-failed', `The saved RAM in ${packedFile} is truncated.`);
}

/** @returns the bytes that a file occupies on disk */
export async function occupiedBytes(file: string): Promise<number> {
  return allocatedBytes(await stat(file));
}

async function readHeader(file: Awaited<ReturnType<typeof open>>): Promise<Uint32Array> {
  const count = new Uint32Array(1);
  await file.read(count, 0, 4, 0);
  const pageNumbers = new Uint32Array(count[0] ?? 0);
  await file.read(pageNumbers, 0, pageNumbers.byteLength, 4);
  return pageNumbers;
}

async function throughZstd(
  words: string[],
  source: () => AsyncIterable<Buffer>,
  sink: NodeJS.WritableStream | ((chunks: AsyncIterable<Buffer>) => Promise<void>),
): Promise<void> {
  const zstd = spawn('zstd', ['-q', '-c', ...words], { stdio: ['pipe', 'pipe', 'pipe'] });
  let errorOutput = '';
  zstd.stderr.on('data', (data: Buffer) => (errorOutput += data.toString()));
  const ended = new Promise<void>((resolve, reject) => {
    zstd.on('error', (cause) => {
      reject(new LabError('missing-tool', `Cannot start zstd: ${cause.message}`, { cause }));
    });
    zstd.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new LabError('internal', `zstd failed: ${errorOutput.trim()}`));
    });
  });
  try {
    await Promise.all([
      ended,
      pipeline(source, zstd.stdin),
      typeof sink === 'function' ? sink(zstd.stdout) : pipeline(zstd.stdout, sink),
    ]);
  } catch (error) {
    zstd.kill();
    throw error;
  }
}
