import { type ChildProcess, spawn } from 'node:child_process';

/** What a write may take, the start of its process included, in milliseconds. */
const MAX_WRITE_MS = 3_000;
/** A process that is killed ends at once, unless the kernel waits for its file system. */
const MAX_KILL_MS = 500;

/**
 * Adds standard input to the end of the file that its argument names. A pipe without a reader is refused at once, and
 * only what is a file on a disk can be brought to the disk. Where an earlier write was cut short (the disk was full),
 * the line begins on a line of its own: behind a part of another it would be unreadable.
 */
const PROGRAM = `
  const fs = require('node:fs');
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK = 0 } = fs.constants;
  const isCutShort = (path) => {
    try {
      if (!fs.statSync(path).isFile()) return false;
      const file = fs.openSync(path, 'r');
      const { size } = fs.fstatSync(file);
      const last = Buffer.from('\\n');
      if (size > 0) fs.readSync(file, last, 0, 1, size - 1);
      fs.closeSync(file);
      return last[0] !== 10;
    } catch {
      return false;
    }
  };
  try {
    const [, path] = process.argv;
    const text = Buffer.concat([Buffer.from(isCutShort(path) ? '\\n' : ''), fs.readFileSync(0)]);
    const file = fs.openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o640);
    for (let at = 0; at < text.length; ) at += fs.writeSync(file, text, at);
    if (fs.fstatSync(file).isFile()) fs.fsyncSync(file);
  } catch (error) {
    process.stderr.write(error.code === 'ENXIO' ? 'it is a pipe that nothing reads' : error.message);
    process.exitCode = 1;
  }
`;

/** A process that could not be ended: its file system does not answer. Another would hang as well. */
let hanging: ChildProcess | null = null;

/**
 * Adds one line to the end of a file, whatever else adds lines at the same time, and returns when it is on the disk.
 *
 * A process of its own writes. A file system that does not answer (NFS, a pipe) blocks the thread that asked for as
 * long as it likes: here that would be one of the four that all files, DNS and password hashes share, and the process
 * could not even end.
 *
 * @throws Error with a sentence when the line was not written within 3 s; then it may still be written
 */
export async function appendLine(path: string, line: string): Promise<void> {
  if (hanging !== null) throw new Error(`${path} cannot be written: an earlier write still hangs.`);
  // Without our environment: it holds secrets.
  const child = spawn(process.execPath, ['-e', PROGRAM, '--', path], { stdio: ['pipe', 'ignore', 'pipe'], env: {} });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  // It may end before it has read anything; its exit code says so.
  child.stdin.on('error', () => undefined);
  child.stdin.end(`${line}\n`);
  const code = await exitOf(child);
  if (code === 'hangs')
    throw new Error(`${path} cannot be written: the file system did not answer within ${MAX_WRITE_MS / 1000} s.`);
  if (code !== 0)
    throw new Error(`${path} cannot be written: ${complaint.trim() || `the writing process ended with ${code}`}.`);
}

/**
 * The exit code of a process, or `hangs`; then it has been killed, or is noted as hanging where even that takes long.
 */
function exitOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve, reject) => {
    let isLate = false;
    const giveUp = (): void => {
      hanging = child;
      child.unref();
      for (const stream of [child.stdin, child.stderr]) stream?.destroy();
      resolve('hangs');
    };
    let timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
      timer = setTimeout(giveUp, MAX_KILL_MS);
    }, MAX_WRITE_MS);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('exit', () => {
      if (hanging === child) hanging = null;
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve(isLate ? 'hangs' : (code ?? signal ?? 'nothing'));
    });
  });
}
