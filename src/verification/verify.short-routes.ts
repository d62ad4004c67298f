import fastJson from 'fast-json-stringify';
import { whenKnown } from '../common/maybe-promise.js';
import { readBody } from '../common/body-schema.js';
import type { ShortRoute } from '../http/short-cut/short-route.js';
import { VERDICTS_SCHEMA, VERDICT_SCHEMA } from './verdict.schema.js';
import type { VerdictView } from './verdict.view.js';
import type { Verifier } from './verifier.js';
import { VerifyBatchDto, VerifyDto, type VerifyQuestion } from './verify.dto.js';

const verdictText = fastJson(VERDICT_SCHEMA);
const verdictsText = fastJson(VERDICTS_SCHEMA);
const textOf = (results: VerdictView[]): string => verdictsText({ results });

/** `POST /verify` and `POST /verify/batch` on the short cut. @see VerifyController */
export function verifyShortRoutes(verifier: Verifier): readonly ShortRoute[] {
  return [
    {
      path: '/verify',
      answer: (body, caller) => {
        const reading = readBody(VerifyDto, body);
        if ('errors' in reading) return null;
        return whenKnown(verifier.verify(reading.value as VerifyQuestion, caller), verdictText);
      },
    },
    {
      path: '/verify/batch',
      answer: (body, caller) => {
        const reading = readBody(VerifyBatchDto, body);
        if ('errors' in reading) return null;
        return whenKnown(verifier.verifyAll((reading.value as VerifyBatchDto).items, caller), textOf);
      },
    },
  ];
}
