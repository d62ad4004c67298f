/**
 * Ends this process in order when the npm that started it has ended. npm passes a SIGTERM on to the shell between it
 * and us, which ends without a word; a killed npm passes nothing on. Imported first by what `npm start` runs; without
 * npm it does nothing: under a supervisor, run `node dist/src/server/main.js`.
 */
import { readFileSync } from 'node:fs';

const LOOK_EVERY_MS = 250;
const SHELLS = /^(sh|dash|bash|ash|zsh|busybox)$/;

/**
 * @returns {{ name: string, parent: number } | null} what Linux says of a process; null: it is gone, or this is no
 * Linux
 */
function statusOf(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return { name: /^Name:\s*(.*)$/m.exec(status)?.[1] ?? '', parent: Number(/^PPid:\s*(\d+)$/m.exec(status)?.[1]) };
  } catch {
    return null;
  }
}

if (process.env.npm_lifecycle_event !== undefined) {
  const parent = process.ppid;
  const shell = statusOf(parent);
  // The shell lives on when npm alone is killed, waiting for us.
  const npm = shell !== null && SHELLS.test(shell.name) ? shell.parent : null;
  const watch = setInterval(() => {
    if (process.ppid === parent && (npm === null || statusOf(parent)?.parent === npm)) return;
    clearInterval(watch);
    // Its terminal may be gone with it.
    process.stderr.on('error', () => undefined);
    process.stderr.write('npm, which started this server, has ended: the server ends as well.\n');
    process.kill(process.pid, 'SIGTERM');
  }, LOOK_EVERY_MS);
  watch.unref();
}
