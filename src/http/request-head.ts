import { DomainError, validationFailed } from '../common/domain-error.js';

/**
 * What is wrong with the head of a request, or null. Looked at before anything believes a header, by the lines as they
 * came (`rawHeaders`): Node and proxies that sort headers drop those beyond a count, and the first to go would be the
 * one by which a proxy names its client.
 */
export function headProblem(rawHeaders: readonly string[], maxLines: number): DomainError | null {
  if (rawHeaders.length > 2 * maxLines) {
    return new DomainError(
      'headers-too-large',
      'HEADERS_TOO_LARGE',
      `The request has more than ${maxLines} header lines. Send fewer.`,
    );
  }
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (rawHeaders[index]!.length === 4 && rawHeaders[index]!.toLowerCase() === 'host') hosts += 1;
  }
  // RFC 9112, section 3.2. Node takes the first, and a proxy on the way may have taken the other.
  return hosts > 1 ? validationFailed([{ path: 'Host', message: 'must not be given twice' }]) : null;
}
