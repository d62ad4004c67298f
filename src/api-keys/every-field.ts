import type { ApiKeyFieldName, FieldsWith, Lacking, None } from '../../packages/contract/src/api-key-fields.js';
import type { ApiKey } from './api-key.entity.js';
import type { CreateApiKeyDto, UpdateApiKeyDto } from './api-key.dto.js';
import type { ApiKeyView } from './api-key.view.js';

/** Fields that a row keeps as one: a limit, which is null where there is none. */
type InOneLimit = 'isUnlimited' | 'budgetLimitCents';

/**
 * Each line does not compile while a class below lacks a field of the table, and names the field. Without it such a
 * field would be taken and not stored, or stored and not shown.
 *
 * @see docs/adding-a-key-field.md
 */
export type EveryField = [
  create: None<Lacking<CreateApiKeyDto, FieldsWith<{ given: 'create' | 'create and update' }>>>,
  update: None<Lacking<UpdateApiKeyDto, FieldsWith<{ given: 'update' | 'create and update' }>>>,
  stored: None<Lacking<ApiKey, Exclude<ApiKeyFieldName, InOneLimit>>>,
  view: None<Lacking<ApiKeyView>>,
];
