import { Injectable } from '@nestjs/common';
import { Conditions } from './conditions.js';
import type { RefusedRequest } from './refusal-recorder.js';

const WINDOW_MS = 10_000;
/** One may be a lock that was busy; so many in ten seconds are an outage. */
const MANY = 3;

/**
 * Verifies, reports and probes have conditions of their own. Sign-ins are refused when too many wait, which unknown
 * callers can bring about.
 */
const OTHERS = /^\/(health|metrics|api\/v1\/(verify|usage|introspect|forward-auth|ext-authz|auth\/login))(\/|$)/;

/** Notices that requests of the management plane are answered 503: keys cannot be made, changed or revoked then. */
@Injectable()
export class ManagementFailures {
  /** Instants of the last ones, oldest first. */
  private readonly atMs: number[] = [];

  constructor(conditions: Conditions) {
    conditions.register('management', 'keys, people and roles can be read and changed', () =>
      this.areMany ? 'Requests that read or change keys, people and roles are answered 503.' : null,
    );
  }

  /** Counts a request that was answered 503. */
  add({ routeOptions: { url } }: Pick<RefusedRequest, 'routeOptions'>): void {
    if (url === undefined || OTHERS.test(url)) return;
    this.atMs.push(performance.now());
    if (this.atMs.length > MANY) this.atMs.shift();
  }

  private get areMany(): boolean {
    return this.atMs.length === MANY && performance.now() - this.atMs[0]! <= WINDOW_MS;
  }
}
