/**
 * Builds what is stale. An output carries a stamp with the hash of the contents it was built from; it is built into
 * a folder of its own and takes the old one's place when it is complete, so a failed or killed build changes
 * nothing. Starts at the same time build once: the others wait for the first.
 */
import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const STAMP = '.build-stamp';
/** Unfinished outputs and the lock: in the folder itself, since a rename does not cross file systems. */
const WORKSHOP = '.build';
const HEARTBEAT_MS = 500;
/** A lock not touched for so long belongs to nobody, also if its pid has been given out again. */
const LOCK_EXPIRY_MS = 5_000;

/**
 * @typedef {object} Build
 * @property {string} name what the operator reads
 * @property {string} folder absolute; skipped if it has no package.json
 * @property {string[]} inputs files and folders inside, whose contents the output depends on
 * @property {string[]} [ignored] files among the inputs that the build makes itself
 * @property {string[]} [copied] files and folders inside that the output has as they are, in the same place
 * @property {string} output a folder inside, that nothing else writes to
 * @property {(workshop: string, output: string) => Promise<string[]>} command arguments for Node that fill `output`;
 *   `workshop` is an empty folder for files that the command needs
 * @property {(output: string) => Promise<void>} [record] notes in `output` what it was built from
 */

/** @param {Build[]} builds in order of dependence. @throws Error naming the first that fails. */
export async function buildStale(builds) {
  for (const build of builds) {
    if (!existsSync(join(build.folder, 'package.json')) || (await isFresh(build))) continue;
    await mkdir(join(build.folder, WORKSHOP), { recursive: true });
    await withLock(join(build.folder, WORKSHOP, 'lock'), async () => {
      if (!(await isFresh(build))) await run(build);
    });
  }
}

async function isFresh(build) {
  const stamp = await readFile(join(build.folder, build.output, STAMP), 'utf8').catch(() => null);
  return stamp !== null && stamp === (await hashInputs(build));
}

async function run(build) {
  const parent = join(build.folder, WORKSHOP);
  for (const name of await readdir(parent)) {
    if (name !== 'lock') await rm(join(parent, name), { recursive: true, force: true });
  }
  const workshop = join(parent, randomUUID());
  const output = join(workshop, 'output');
  await mkdir(workshop);
  try {
    // On standard error: standard output belongs to the log of the server that is started next.
    console.error(`Building the ${build.name}.`);
    const hash = await hashInputs(build);
    await execute(build, await build.command(workshop, output));
    for (const path of build.copied ?? []) await cp(join(build.folder, path), join(output, path), { recursive: true });
    await build.record?.(output);
    await writeFile(join(output, STAMP), hash);
    const target = join(build.folder, build.output);
    if (existsSync(target)) await rename(target, join(workshop, 'old'));
    await rename(output, target);
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
}

function execute(build, args) {
  return new Promise((resolve, reject) => {
    const compiler = spawn(process.execPath, args, { cwd: build.folder, stdio: ['inherit', 2, 2] });
    compiler.once('error', reject);
    compiler.once('exit', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`Building the ${build.name} failed (${signal ?? `exit code ${code}`}).`));
    });
  });
}

/** Contents, not times: a checkout gives every file a new time. */
async function hashInputs(build) {
  const hash = createHash('sha256');
  for (const input of build.inputs) {
    for (const file of await listFiles(build.folder, input)) {
      if (build.ignored?.includes(file)) continue;
      const content = await readFile(join(build.folder, file));
      hash.update(`${file}\0${content.length}\0`).update(content);
    }
  }
  return hash.digest('hex');
}

async function listFiles(folder, path) {
  const found = await stat(join(folder, path)).catch(() => null);
  if (found === null) return [];
  if (!found.isDirectory()) return path.endsWith('.spec.ts') ? [] : [path];
  const names = (await readdir(join(folder, path))).sort();
  return (await Promise.all(names.map((name) => listFiles(folder, `${path}/${name}`)))).flat();
}

async function withLock(path, work) {
  while (!(await tryToLock(path))) {
    if (await isAbandoned(path)) await rm(path, { force: true });
    else await sleep(100);
  }
  const heartbeat = setInterval(() => utimes(path, new Date(), new Date()).catch(() => undefined), HEARTBEAT_MS);
  try {
    await work();
  } finally {
    clearInterval(heartbeat);
    await rm(path, { force: true });
  }
}

function tryToLock(path) {
  return writeFile(path, String(process.pid), { flag: 'wx' }).then(
    () => true,
    (error) => {
      if (error.code === 'EEXIST') return false;
      throw error;
    },
  );
}

async function isAbandoned(path) {
  const [found, pid] = await Promise.all([stat(path), readFile(path, 'utf8')]).catch(() => []);
  if (found === undefined) return false;
  if (Date.now() - found.mtimeMs > LOCK_EXPIRY_MS) return true;
  try {
    if (Number(pid) > 0) process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}
