/**
 * A clone's RAM from outside. A clone maps its template's RAM file copy-on-write, so what its guest has changed since is
 * what the kernel has copied: the anonymous pages of that mapping. They are found in `/proc/<pid>/pagemap` and read and written
 * through `/proc/<pid>/mem` (proc(5)), which needs the same user as QEMU's, and under Yama to be its ancestor.
 *
 * A file of changed pages is a header of one little-endian 32-bit number, the count; as many page numbers, ascending; and
 * the pages. On disk it is compressed.
 */
import { spawn } from 'node:child_process';
import { closeSync, createReadStream, createWriteStream, openSync, readSync, writeSync } from 'node:fs';
import { open, readFile, rm, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { setImmediate as otherWork } from 'node:timers/promises';
import { LabError } from '../protocol/errors';

const pageBytes = 4096;
/** One read or write; large enough that the calls cost nothing beside the copying. */
const chunkPages = 256;

/** A stretch of QEMU's address space that shows a stretch of the RAM file. */
interface Mapping {
  address: number;
  /** Both in pages. */
  firstPage: number;
  pages: number;
}

/** Pages that lie side by side. */
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

/** Runs of the numbers, which ascend; none is longer than a chunk. */
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
      // The kernel's Documentation/admin-guide/mm/pagemap.rst: bit 63 present, 62 swapped, 61 page of a file. These are the upper
      // word's; the entries are in the machine's byte order, which is little-endian wherever QEMU runs x86 for us.
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
  if (!mapping) throw new LabError('qemu-failed', `Page ${page} of a host's RAM is not mapped.`);
  return mapping.address + (page - mapping.firstPage) * pageBytes;
}

function header(pageNumbers: Uint32Array): Buffer {
  return Buffer.concat([
    Buffer.from(Uint32Array.of(pageNumbers.length).buffer),
    Buffer.from(pageNumbers.buffer, pageNumbers.byteOffset, pageNumbers.byteLength),
  ]);
}

/**
 * Copies a stopped clone's changed pages into `rawFile`. Blocks this process while it does: the guest is waiting.
 * @throws LabError `qemu-failed`, or the system's own error
 */
export async function copyChangedPages(pid: number, ramFile: string, rawFile: string): Promise<void> {
  const mappings = await ramMappings(pid, ramFile);
  const changed = changedPages(pid, mappings);
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const raw = openSync(rawFile, 'w', 0o600);
  try {
    writeSync(raw, header(changed));
    // Runs are short, most of a few pages, so they are gathered.
    const buffer = Buffer.alloc(16 * chunkPages * pageBytes);
    let filled = 0;
    for (const run of runsOf(changed)) {
      const bytes = run.pages * pageBytes;
      if (filled + bytes > buffer.length) {
        writeSync(raw, buffer, 0, filled);
        filled = 0;
      }
      if (readSync(memory, buffer, filled, bytes, addressOf(mappings, run.firstPage)) !== bytes) {
        throw new LabError('qemu-failed', 'The RAM of a host could not be read.');
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
 * Compresses a copy of changed pages, without those that are equal to the template's after all.
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
    // -1: several times as fast as the default and nearly as small; one thread, since guests want the cores.
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
              throw new LabError('qemu-failed', 'The RAM of a host could not be written.');
            }
            rest = rest.subarray(bytes);
          }
        }
      },
    );
  } finally {
    closeSync(memory);
  }
  if (!runs || runs.length > 0) throw new LabError('qemu-failed', `${packedFile} is cut off.`);
}

/** @returns the space that a file takes on disk */
export async function occupiedBytes(file: string): Promise<number> {
  // POSIX counts blocks in units of 512 bytes whatever the file system's own block size is.
  return (await stat(file)).blocks * 512;
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
  let complaint = '';
  zstd.stderr.on('data', (data: Buffer) => (complaint += data.toString()));
  const ended = new Promise<void>((resolve, reject) => {
    zstd.on('error', (cause) => {
      reject(new LabError('missing-tool', `Cannot start zstd: ${cause.message}`, { cause }));
    });
    zstd.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new LabError('internal', `zstd failed: ${complaint.trim()}`));
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
