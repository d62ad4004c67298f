import { ALIAS } from '../common/grammars/alias.js';
import { Ignores } from '../common/ignored-members.js';
import { IfPresent, IsOf } from '../common/validators.js';
import { UpdateApiKeyDto } from './api-key.dto.js';
import type { ApiKeyView } from './api-key.view.js';
import { UpsertApiKeyDto } from './lifecycle/key-lifecycle.dto.js';

/** What of a key is shown and not set by a body. A member that is added to the view does not compile until it is here. */
type ReadOnlyBeside<Body> = Readonly<Record<Exclude<keyof ApiKeyView, keyof Body>, true>>;

const SHOWN = {
  id: true,
  version: true,
  ownerId: true,
  ownerName: true,
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
} as const;

/** A key as it was read, with changes: what is read-only is ignored; other fields that are absent stay as they are. */
@Ignores({ ...SHOWN, environment: true } satisfies ReadOnlyBeside<UpdateApiKeyDto>, ['budgetType'])
export class ReplaceApiKeyDto extends UpdateApiKeyDto {}

/** As `ReplaceApiKeyDto`, by the alias of the key. */
@Ignores({ ...SHOWN, isActive: true } satisfies ReadOnlyBeside<ReplaceByAliasDto>, ['budgetType'])
export class ReplaceByAliasDto extends UpsertApiKeyDto {
  /**
   * The alias of the path; it may be absent, and can be no other.
   * @example "billing-nightly"
   */
  @IfPresent()
  @IsOf(ALIAS)
  alias?: string;
}
