import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type AuditSyslogConfig, AuditSyslogUrlError, readTlsFiles } from '../../config/audit-syslog.js';

/** Until a connection is open, TLS included. */
const MAX_OPEN_MS = 3_000;
/** Until the receiver has taken everything and has closed its side. */
const MAX_DELIVERY_MS = 5_000;
/** Least time between the last byte and our end, in which a receiver that is gone is heard of. */
const MIN_PAUSE_MS = 5;
/** Most of it: an opening that took longer lost a packet, or found the receiver's machine busy. */
const MAX_PAUSE_MS = 1_000;

/** What a delivery may take, in milliseconds, its opening included. */
export const MAX_DELIVER_MS = MAX_OPEN_MS + MAX_DELIVERY_MS;

/**
 * Sends messages over a connection of their own, and resolves once the receiver has read all of them.
 *
 * Syslog has no acknowledgement. What there is instead: a receiver closes its side when it has read up to our end. One
 * that ends before has unread data, so its kernel resets the connection. The end is sent two round trips after the last
 * byte: a reset or an end that was under way by then is not taken for an answer to ours.
 *
 * @throws Error with a sentence; the receiver may then have read a part
 */
export function deliver(receiver: AuditSyslogConfig, messages: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const name = `${receiver.host}:${receiver.port}`;
    let lookedUpMs = performance.now();
    let pauseMs = MIN_PAUSE_MS;
    const socket = open(receiver);
    socket.once('lookup', () => (lookedUpMs = performance.now()));
    // One round trip, and no more than that: what TLS takes is the work of both ends.
    socket.once('connect', () => (pauseMs = pauseOf(performance.now() - lookedUpMs)));
    let isEnded = false;
    let pause: NodeJS.Timeout | undefined;
    const finish = (outcome: () => void): void => {
      clearTimeout(limit);
      clearTimeout(pause);
      socket
        .removeAllListeners()
        .on('error', () => undefined)
        .destroy();
      outcome();
    };
    const fail = (why: string): void => finish(() => reject(new Error(`${name} ${why}`)));
    let limit = setTimeout(() => fail('cannot be reached: it does not answer.'), MAX_OPEN_MS);
    socket.once('error', (error) =>
      fail(`does not take the audit trail: ${error.message || 'the connection failed'}.`),
    );
    socket.once('close', () => fail('closed the connection before it had taken everything.'));
    socket.once('end', () => {
      if (isEnded) finish(resolve);
      else fail('closed the connection before it had taken everything.');
    });
    socket.once(receiver.isTls ? 'secureConnect' : 'connect', () => {
      clearTimeout(limit);
      limit = setTimeout(() => fail(isEnded ? NOT_CLOSED : NOT_TAKEN), MAX_DELIVERY_MS);
      socket.write(messages, () => {
        pause = setTimeout(() => {
          isEnded = true;
          socket.end();
        }, pauseMs);
      });
    });
    // What a receiver says is nothing to us, but its end is heard of only by reading.
    socket.resume();
  });
}

function pauseOf(roundTripMs: number): number {
  return Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, 2 * roundTripMs));
}

const NOT_TAKEN = 'does not take the audit trail: it reads too slowly, or not at all.';
const NOT_CLOSED =
  'did not close its side of the connection after ours: it hangs, or is no receiver of syslog that closes when its sender does.';

function open(receiver: AuditSyslogConfig): Socket {
  const { host, port, serverName } = receiver;
  // Its end before ours means that it has not read everything: it must not be answered with ours.
  const to = { host, port, allowHalfOpen: true };
  if (!receiver.isTls) return connectTcp(to);
  // No name indication for an address (RFC 6066): Node compares the certificate with `host` then.
  const name = isIP(serverName) === 0 ? { servername: serverName } : {};
  return connectTls({ ...to, ...name, minVersion: 'TLSv1.2', ...filesOf(receiver) });
}

function filesOf(receiver: AuditSyslogConfig): ReturnType<typeof readTlsFiles> {
  try {
    return readTlsFiles(receiver);
  } catch (error) {
    if (!(error instanceof AuditSyslogUrlError)) throw error;
    throw new Error(`AUDIT_SYSLOG_URL ${error.message}.`, { cause: error });
  }
}
