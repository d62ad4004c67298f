import { Injectable } from '@nestjs/common';

/** Tells what lasts longer than a request that this process has begun to drain. */
@Injectable()
export class Draining {
  private readonly controller = new AbortController();

  /** Aborted once the process drains, for good. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  begin(): void {
    this.controller.abort();
  }
}
