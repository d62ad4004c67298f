import { ApiPropertyOptional } from '@nestjs/swagger';
import { SentencePartView } from './sentence-part.view.js';

/** One field that is wrong. */
export class FieldErrorView {
  /**
   * Where: names and indexes joined by dots.
   * @example "allowedIps.3"
   */
  path: string;

  /**
   * What is wrong with it.
   * @example "must be an address or a CIDR block"
   */
  message: string;

  /** `message` in parts, where it names an amount or an instant. */
  @ApiPropertyOptional({ type: [SentencePartView] })
  messageParts?: readonly SentencePartView[];
}

/** The body of every error answer (RFC 9457, `application/problem+json`). */
export class ProblemView {
  /** @example "about:blank" */
  type: string;

  /**
   * The status in words.
   * @example "Not Found"
   */
  title: string;

  /**
   * The HTTP status.
   * @example 404
   */
  status: number;

  /**
   * A sentence for people.
   * @example "There is no such API key."
   */
  detail: string;

  /**
   * A stable name for programs.
   * @example "API_KEY_NOT_FOUND"
   */
  code: string;

  /**
   * Quote it when you ask for help; also in `X-Request-Id`.
   * @example "0d8e5c7a-3b1f-4f0e-9a54-6c2d7e8f9a10"
   */
  requestId: string;

  /** `detail` in parts, where it names an amount or an instant. */
  @ApiPropertyOptional({ type: [SentencePartView] })
  detailParts?: readonly SentencePartView[];

  /** With 400: all fields that are wrong, at once. */
  errors?: FieldErrorView[];
}
