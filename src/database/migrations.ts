import { Foundation1790000000000 } from './migrations/1790000000000-foundation.js';
import { ApiKeyLists1790000000100 } from './migrations/1790000000100-api-key-lists.js';
import { Replicas1790000000200 } from './migrations/1790000000200-replicas.js';
import { Quotas1790000000300 } from './migrations/1790000000300-quotas.js';
import { Usage1790000000400 } from './migrations/1790000000400-usage.js';
import { ApiKeyTerms1790000000500 } from './migrations/1790000000500-api-key-terms.js';
import { SecretFingerprints1790000000600 } from './migrations/1790000000600-secret-fingerprints.js';
import { Failover1790000000800 } from './migrations/1790000000800-failover.js';
import { CarriedSpend1790000000900 } from './migrations/1790000000900-carried-spend.js';
import { SignIn1790000001100 } from './migrations/1790000001100-sign-in.js';
import { SessionActivity1790000001200 } from './migrations/1790000001200-session-activity.js';
import { FixedExpiry1790000001300 } from './migrations/1790000001300-fixed-expiry.js';
import { BoundPasswords1790000001400 } from './migrations/1790000001400-bound-passwords.js';
import { BoundSecrets1790000001401 } from './migrations/1790000001401-bound-secrets.js';
import { HeadFunctions1790000001402 } from './migrations/1790000001402-head-functions.js';
import { Floods1790000001500 } from './migrations/1790000001500-floods.js';
import { SecondFactor1790000001600 } from './migrations/1790000001600-second-factor.js';
import { VerifiedAddresses1790000001700 } from './migrations/1790000001700-verified-addresses.js';
import { TotalsThatCannotBreak1790000001800 } from './migrations/1790000001800-totals-that-cannot-break.js';
import { VersionsOfKeys1790000001900 } from './migrations/1790000001900-versions-of-keys.js';
import { EventsByKey1790000002000 } from './migrations/1790000002000-events-by-key.js';
import { VerifiedEnvironment1790000002100 } from './migrations/1790000002100-verified-environment.js';
import { ShortSearches1790000002300 } from './migrations/1790000002300-short-searches.js';
import { PersonalValues1790000002400 } from './migrations/1790000002400-personal-values.js';
import { BudgetRaises1790000002450 } from './migrations/1790000002450-budget-raises.js';
import { RefusedCalls1790000002500 } from './migrations/1790000002500-refused-calls.js';
import { HandOver1790000002600 } from './migrations/1790000002600-hand-over.js';
import { Projects1790000002800 } from './migrations/1790000002800-projects.js';
import { Limits1790000002900 } from './migrations/1790000002900-limits.js';
import { LimitAccounts1790000002910 } from './migrations/1790000002910-limit-accounts.js';
import { AccountsOfLimits1790000002920 } from './migrations/1790000002920-accounts-of-limits.js';
import { LimitAccountIndexes1790000002930 } from './migrations/1790000002930-limit-account-indexes.js';
import { UsageArchives1790000003000 } from './migrations/1790000003000-usage-archives.js';
import { ProjectOfVersions1790000003090 } from './migrations/1790000003090-project-of-versions.js';
import { ProjectsInReports1790000003100 } from './migrations/1790000003100-projects-in-reports.js';
import { KeysOfProjects1790000003110 } from './migrations/1790000003110-keys-of-projects.js';
import { RaisedAccounts1790000003150 } from './migrations/1790000003150-raised-accounts.js';
import { LimitUnits1790000003200 } from './migrations/1790000003200-limit-units.js';
import { CountedLeases1790000003210 } from './migrations/1790000003210-counted-leases.js';
import { ChargedTokens1790000003220 } from './migrations/1790000003220-charged-tokens.js';
import { ArchivedTokens1790000003230 } from './migrations/1790000003230-archived-tokens.js';
import { RenewedLeases1790000003300 } from './migrations/1790000003300-renewed-leases.js';
import { StandingLeases1790000003400 } from './migrations/1790000003400-standing-leases.js';
import { AuditSegments1790000003500 } from './migrations/1790000003500-audit-segments.js';
import { AuditSyslog1790000003600 } from './migrations/1790000003600-audit-syslog.js';
import { LimitWindows1790000003700 } from './migrations/1790000003700-limit-windows.js';
import { LimitWindowIndex1790000003710 } from './migrations/1790000003710-limit-window-index.js';
import { Subjects1790000003800 } from './migrations/1790000003800-subjects.js';
import { EventsBySubject1790000003810 } from './migrations/1790000003810-events-by-subject.js';
import { StepsOfAccounts1790000003900 } from './migrations/1790000003900-steps-of-accounts.js';
import { StepsThatAreThere1790000003910 } from './migrations/1790000003910-steps-that-are-there.js';
import { IndexOfSteps1790000003920 } from './migrations/1790000003920-index-of-steps.js';
import { UsageSummedLater1790000004000 } from './migrations/1790000004000-usage-summed-later.js';
import { AuditSealing1790000004050 } from './migrations/1790000004050-audit-sealing.js';
import { UsageArchiving1790000004060 } from './migrations/1790000004060-usage-archiving.js';
import { AuditKeptBlocks1790000004100 } from './migrations/1790000004100-audit-kept-blocks.js';
import { TokenWindows1790000004200 } from './migrations/1790000004200-token-windows.js';
import { FullBudgets1790000004400 } from './migrations/1790000004400-full-budgets.js';
import { IndexOfFullBudgets1790000004410 } from './migrations/1790000004410-index-of-full-budgets.js';
import { PrefixesOfNewKeys1790000004500 } from './migrations/1790000004500-prefixes-of-new-keys.js';
import { DefaultReserveTokens1790000004600 } from './migrations/1790000004600-default-reserve-tokens.js';

/** All migrations, oldest first. */
export const migrations = [
  Foundation1790000000000,
  ApiKeyLists1790000000100,
  Replicas1790000000200,
  Quotas1790000000300,
  Usage1790000000400,
  ApiKeyTerms1790000000500,
  SecretFingerprints1790000000600,
  Failover1790000000800,
  CarriedSpend1790000000900,
  SignIn1790000001100,
  SessionActivity1790000001200,
  FixedExpiry1790000001300,
  BoundPasswords1790000001400,
  BoundSecrets1790000001401,
  HeadFunctions1790000001402,
  Floods1790000001500,
  SecondFactor1790000001600,
  VerifiedAddresses1790000001700,
  TotalsThatCannotBreak1790000001800,
  VersionsOfKeys1790000001900,
  EventsByKey1790000002000,
  VerifiedEnvironment1790000002100,
  ShortSearches1790000002300,
  PersonalValues1790000002400,
  BudgetRaises1790000002450,
  RefusedCalls1790000002500,
  HandOver1790000002600,
  Projects1790000002800,
  Limits1790000002900,
  LimitAccounts1790000002910,
  AccountsOfLimits1790000002920,
  LimitAccountIndexes1790000002930,
  UsageArchives1790000003000,
  ProjectOfVersions1790000003090,
  ProjectsInReports1790000003100,
  KeysOfProjects1790000003110,
  RaisedAccounts1790000003150,
  LimitUnits1790000003200,
  CountedLeases1790000003210,
  ChargedTokens1790000003220,
  ArchivedTokens1790000003230,
  RenewedLeases1790000003300,
  StandingLeases1790000003400,
  AuditSegments1790000003500,
  AuditSyslog1790000003600,
  LimitWindows1790000003700,
  LimitWindowIndex1790000003710,
  Subjects1790000003800,
  EventsBySubject1790000003810,
  StepsOfAccounts1790000003900,
  StepsThatAreThere1790000003910,
  IndexOfSteps1790000003920,
  UsageSummedLater1790000004000,
  AuditSealing1790000004050,
  UsageArchiving1790000004060,
  AuditKeptBlocks1790000004100,
  TokenWindows1790000004200,
  FullBudgets1790000004400,
  IndexOfFullBudgets1790000004410,
  PrefixesOfNewKeys1790000004500,
  DefaultReserveTokens1790000004600,
];
