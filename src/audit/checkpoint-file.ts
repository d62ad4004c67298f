import { open, readFile } from 'node:fs/promises';
import type { KeyObject } from 'node:crypto';
import type { Anchor } from './chain-check.js';
import { CHANGE_LINE_TYPE, openChangeLine, type SignedChangeLine } from './change-line.js';
import { openCheckpoint, type SignedCheckpoint } from './checkpoint.js';

/** What a checkpoint file says. */
export interface CheckpointFile {
  readonly anchors: readonly Anchor[];
  /** Numbers, from 1, of lines that claim to be checkpoints and were not signed with our key. */
  readonly forgedLines: readonly number[];
}

/**
 * Adds one line to the end of a checkpoint file, whoever else adds lines at the same time, and returns when it
 * is on the disk.
 */
export async function appendCheckpoint(path: string, checkpoint: SignedCheckpoint | SignedChangeLine): Promise<void> {
  const file = await open(path, 'a', 0o640);
  try {
    await file.appendFile(`${JSON.stringify(checkpoint)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Reads a file of checkpoints: our own, or log lines that were collected from stdout, where the checkpoint is the
 * member `auditCheckpoint`. Lines that do not claim to be checkpoints are passed over: whoever could spoil a line
 * could as well remove it.
 *
 * @throws Error when the file cannot be read
 */
export async function readCheckpoints(path: string, publicKey: KeyObject): Promise<CheckpointFile> {
  const anchors: Anchor[] = [];
  const forgedLines: number[] = [];
  for (const [index, line] of (await readFile(path, 'utf8')).split('\n').entries()) {
    const claim = claimOf(line);
    if (claim === null) continue;
    const anchor = anchorOf(publicKey, claim);
    if (anchor === null) forgedLines.push(index + 1);
    else anchors.push(anchor);
  }
  return { anchors, forgedLines };
}

/** The place of the chain that a checkpoint names, or a list of changes, which is one too. */
export function anchorOf(publicKey: KeyObject, claim: unknown): Anchor | null {
  return openCheckpoint(publicKey, claim) ?? openChangeLine(publicKey, claim)?.anchor ?? null;
}

/** What a line claims to be, a checkpoint or a list of changes; null for other lines of a log. */
export function claimOf(line: string): unknown {
  if (!line.includes('latchkey-audit-checkpoint') && !line.includes(CHANGE_LINE_TYPE)) return null;
  try {
    const value = JSON.parse(line) as Record<string, unknown>;
    return 'auditCheckpoint' in value ? value['auditCheckpoint'] : value;
  } catch {
    return null;
  }
}
