/** Where traces go, and how many. */
export interface TracesConfig {
  /** Takes OTLP over HTTP. */
  readonly url: string;
  /** Part of the requests without a caller's decision that are traced, 0 to 1. */
  readonly sampleRatio: number;
  /** Sent with each export; they may hold a secret. */
  readonly headers: Readonly<Record<string, string>>;
}

const HEADER = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+)=([\x20-\x7e]+)$/;

/** The headers in `name=value,name=value`; null where an entry has another form. */
export function parseTracesHeaders(text: string): Readonly<Record<string, string>> | null {
  const headers: Record<string, string> = {};
  for (const entry of text.split(',')) {
    const [, name, value] = HEADER.exec(entry.trim()) ?? [];
    if (name === undefined || value === undefined) return null;
    headers[name.toLowerCase()] = value;
  }
  return headers;
}
