import { PickType } from '@nestjs/swagger';
import { BodySchema } from '../../common/body-schema.js';
import { QUESTION_FIELDS, VerifyDto, type VerifyQuestion } from '../verify.dto.js';

const { environment, ip, model, chatbot, subject, scopes, cost, reserveCents, reserveTokens } = QUESTION_FIELDS;

/** A call to be tried on a key, without its secret. */
@BodySchema({
  type: 'object',
  additionalProperties: false,
  properties: { environment, ip, model, chatbot, subject, scopes, cost, reserveCents, reserveTokens },
})
export class ExplainDto extends PickType(VerifyDto, [
  'environment',
  'ip',
  'model',
  'chatbot',
  'subject',
  'scopes',
  'cost',
  'reserveCents',
  'reserveTokens',
] as const) {}

/** The call once its form is checked. */
export type ExplainQuestion = Pick<
  VerifyQuestion,
  'environment' | 'ip' | 'model' | 'chatbot' | 'subject' | 'scopes' | 'cost' | 'reserveCents' | 'reserveTokens'
>;
