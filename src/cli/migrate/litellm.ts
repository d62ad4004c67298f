import { StartRefusal } from '../../common/start-refusal.js';
import {
  type ExportRow,
  flagOf,
  instantOf,
  isRow,
  isSet,
  RowRefusal,
  rowsOf,
  structureOf,
  textOf,
  textsOf,
} from './export-row.js';
import type { KeyDraft } from './key-draft.js';
import type { Source } from './source.js';

/** Names that LiteLLM gives to sets of models. */
const ALL_MODELS = ['all-proxy-models', '*'];
const MODELS_OF_THE_TEAM = 'all-team-models';
const NO_MODELS = 'no-default-models';

/**
 * Virtual keys of LiteLLM: rows of "LiteLLM_VerificationToken" as JSON, or answers of
 * `/key/list?return_full_object=true`. `token` is the SHA-256 of the key in hexadecimal. @see docs/migrating.md
 */
export const litellm: Source = {
  read(documents) {
    const rows = documents.flatMap((document) => rowsOf(isRow(document) ? document['keys'] : document) ?? missing());
    const total = documents.find(isRow)?.['total_count'];
    if (typeof total === 'number' && total > rows.length)
      throw new StartRefusal(
        `The export has ${rows.length} of ${total} keys. Name the files of all pages (/key/list?page=1, 2, …).`,
      );
    return rows;
  },

  labelOf: (row) => textOf(row['key_alias'], row['key_name']),

  map(row, draft) {
    draft.hash('token', row['token']);
    draft.prefix(textOf(row['key_name']));
    draft.name(textOf(row['key_alias'], row['key_name']));
    draft.owner = textOf(row['user_id']);
    draft.limit('rpm_limit', row['rpm_limit'], 60_000);
    mapBudget(row, draft);
    mapModels(row, draft);
    draft.key.isActive = flagOf(row['blocked']) !== true;
    draft.key.expiresAt = instantOf('expires', row['expires']);
    const createdAt = instantOf('created_at', row['created_at']);
    if (createdAt !== null) draft.key.createdAt = createdAt;
    const lastUsedAt = instantOf('last_active', row['last_active']);
    if (lastUsedAt !== null) draft.key.lastUsedAt = lastUsedAt;
    mapMetadata(row, draft);
    nameWhatIsLeft(row, draft);
  },
};

function missing(): never {
  throw new StartRefusal(
    'This is no export of LiteLLM: a list of rows of "LiteLLM_VerificationToken", or {"keys": […]} of /key/list ' +
      'with return_full_object=true, is needed.',
  );
}

function mapBudget(row: ExportRow, draft: KeyDraft): void {
  const duration = textOf(row['budget_duration']);
  const isMonthly = duration === '1mo' || duration === '30d';
  draft.budget('max_budget', row['max_budget'], row['spend'], isMonthly ? 'monthly' : 'total');
  if (!isSet(row['max_budget']) && row['max_budget'] !== 0) return;
  const resetAt = instantOf('budget_reset_at', row['budget_reset_at']);
  if (isMonthly) {
    const isAtMonthEnd = resetAt === null ? duration === '1mo' : /-01T00:00:00\.000Z$/.test(resetAt);
    draft.differs(!isAtMonthEnd, `budget_duration ${duration} becomes the UTC month, which begins on the 1st`);
  } else if (duration !== null) {
    draft.differences.push(`budget_duration ${duration} becomes a budget for ever: there are total and monthly ones`);
  }
}

function mapModels(row: ExportRow, draft: KeyDraft): void {
  const models = textsOf(row['models']);
  if (models.includes(NO_MODELS)) {
    if (models.every((model) => model === NO_MODELS))
      throw new RowRefusal(`models has ${NO_MODELS} alone: a key that may use no model does not exist here`);
    draft.differences.push(`models has ${NO_MODELS}: a list that allows nothing does not exist here`);
  }
  const named = models.filter((model) => ![...ALL_MODELS, MODELS_OF_THE_TEAM, NO_MODELS].includes(model));
  const isAny = models.some((model) => ALL_MODELS.includes(model));
  if (!isAny && named.length > 0) draft.key.allowedModels = [...new Set(named)];
  const isOfTeam = models.includes(MODELS_OF_THE_TEAM) || (models.length === 0 && isSet(row['team_id']));
  draft.differs(isOfTeam, 'the models of the team are not in the export: the key would have any model');
  draft.differs(isSet(row['access_group_ids']), 'access_group_ids: models by access groups are not in the export');
}

function mapMetadata(row: ExportRow, draft: KeyDraft): void {
  const metadata = structureOf(row['metadata']);
  if (isRow(metadata)) {
    const { tags, model_rpm_limit: rpm, model_tpm_limit: tpm, ...rest } = metadata;
    draft.metadata(rest);
    const texts = textsOf(tags);
    if (texts.length > 0) draft.key.tags = [...new Set(texts)];
    draft.differs(
      isSet(rpm) || isSet(tpm),
      'model_rpm_limit, model_tpm_limit: make a limit of requests or tokens on the key for each model',
    );
  }
  for (const field of ['team_id', 'organization_id', 'project_id', 'agent_id']) draft.note(field, row[field]);
}

function nameWhatIsLeft(row: ExportRow, draft: KeyDraft): void {
  draft.differs(isSet(row['tpm_limit']), 'tpm_limit: make a limit of tokens by minute on the key');
  draft.differs(isSet(row['max_parallel_requests']), 'max_parallel_requests: make a limit of slots on the key');
  draft.differs(isSet(row['model_max_budget']), 'model_max_budget: make a limit of cents on the key for each model');
  draft.differs(isSet(row['budget_id']), 'budget_id: the limits of the budget table are not in the export');
  draft.differs(isSet(row['team_id']), 'team_id: budgets and limits of the team end; each key has its own');
  draft.differs(isSet(row['organization_id']), 'organization_id: budgets and limits of the organization end');
  draft.differs(isSet(row['project_id']), 'project_id: budgets and limits of the project end');
  draft.differs(isSet(row['allowed_routes']), 'allowed_routes: your services decide on routes; use scopes');
  draft.differs(isSet(row['policies']), 'policies, which LiteLLM applies to calls');
  draft.differs(isSet(row['object_permission_id']), 'object_permission_id: MCP servers and vector stores');
  draft.loses(isSet(row['permissions']), 'permissions, which belong to the proxy of LiteLLM');
  draft.loses(isSet(row['aliases']) || isSet(row['config']) || isSet(row['router_settings']), 'aliases and routing');
  draft.loses(isSet(row['auto_rotate']), 'auto_rotate: regenerate the key with an overlap instead');
}
