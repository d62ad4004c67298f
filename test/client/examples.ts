import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';

export const ROOT = new URL('../../', import.meta.url).pathname;

/** The blocks of a document that carry a file name, by that name, as printed. */
export async function examplesIn(path: string): Promise<Map<string, string>> {
  const text = await readFile(ROOT + path, 'utf8');
  const blocks = text.matchAll(/^```\w+ (\S+)\n([\s\S]*?)^```$/gm);
  return new Map([...blocks].map(([, name, code]) => [name!, code!]));
}

/** A process that was started by a test. */
export interface Started {
  readonly child: ChildProcess;
  /** What it has printed so far. */
  output(): string;
  /** Resolves to the code it ends with; null: by a signal. */
  readonly ended: Promise<number | null>;
}

export function start(
  command: string,
  args: readonly string[],
  options: { cwd: string; env?: Record<string, string> },
): Started {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { child, output: () => Buffer.concat(chunks).toString(), ended };
}

/** Runs it to its end. @throws Error with what it printed, unless it ends with 0. */
export async function run(
  command: string,
  args: readonly string[],
  options: { cwd: string; env?: Record<string, string> },
): Promise<string> {
  const started = start(command, args, options);
  const code = await started.ended;
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${started.output()}`);
  return started.output();
}
