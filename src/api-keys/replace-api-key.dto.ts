import { ALIAS, UUID } from '../../packages/contract/src/grammar.js';
import { Field, optional } from '../common/field.js';
import { Ignores } from '../common/ignored-members.js';
import { UpdateApiKeyDto } from './api-key.dto.js';
import type { ApiKeyView } from './api-key.view.js';
import { UpsertApiKeyDto } from './change/key-lifecycle.dto.js';

/**
 * What of a key is shown and not set by a body. A member that is added to the view does not compile until it is here.
 */
type ReadOnlyBeside<Body> = Readonly<Record<Exclude<keyof ApiKeyView, keyof Body>, true>>;

const SHOWN = {
  id: true,
  version: true,
  ownerName: true,
  projectId: true,
  ownerIsActive: true,
  keyPrefix: true,
  status: true,
  deactivatedAt: true,
  deactivatedBy: true,
  maxExpiresAt: true,
  createdAt: true,
  updatedAt: true,
  lastUsedAt: true,
  revokedAt: true,
  revokedReason: true,
  totalRequests: true,
  totalTokens: true,
  totalCostCents: true,
  secrets: true,
  handOver: true,
  allowedActs: true,
} as const;

/** A key as it was read, with changes: what is read-only is ignored; other fields that are absent stay as they are. */
@Ignores({ ...SHOWN, ownerId: true, environment: true } satisfies ReadOnlyBeside<UpdateApiKeyDto>, ['budgetType'])
export class ReplaceApiKeyDto extends UpdateApiKeyDto {}

/** As `ReplaceApiKeyDto`, by the alias of the key. */
@Ignores({ ...SHOWN, isActive: true, budgetRaise: true } satisfies ReadOnlyBeside<ReplaceByAliasDto>, ['budgetType'])
export class ReplaceByAliasDto extends UpsertApiKeyDto {
  /**
   * The alias of the path; it may be absent, and can be no other.
   * @example "billing-nightly"
   */
  @Field(optional(ALIAS))
  alias?: string;

  /**
   * The owner of the key; it may be absent, and can be no other than the one that the request is about.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(UUID))
  ownerId?: string;
}
