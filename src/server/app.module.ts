import { type DynamicModule, Global, Module } from '@nestjs/common';
import { DataSource, EntityManager } from 'typeorm';
import { AccessModule } from '../access/access.module.js';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { AuditModule } from '../audit/audit.module.js';
import { AuthModule } from '../auth/auth.module.js';
import { BackupModule } from '../backup/backup.module.js';
import { Clock } from '../common/clock.js';
import { Conditions } from '../common/conditions.js';
import { Draining } from '../common/draining.js';
import { ManagementFailures } from '../common/management-failures.js';
import { Config } from '../config/config.js';
import { GatewaysModule } from '../gateways/gateways.module.js';
import { HealthModule } from '../health/health.module.js';
import { InstallationModule } from '../installation/installation.module.js';
import { IntegrityModule } from '../integrity/integrity.module.js';
import { Metrics } from '../common/metrics.js';
import { KeyCacheModule } from '../key-cache/key-cache.module.js';
import { LimitsModule } from '../limits/limits.module.js';
import { QuotasModule } from '../quotas/quotas.module.js';
import { MetricsModule } from '../metrics/metrics.module.js';
import { ReplicasModule } from '../replicas/replicas.module.js';
import { ProjectsModule } from '../projects/projects.module.js';
import { RolesModule } from '../roles/roles.module.js';
import { TracingModule } from '../tracing/tracing.module.js';
import { UsageModule } from '../usage/usage.module.js';
import { UsersModule } from '../users/users.module.js';
import { VerificationModule } from '../verification/verification.module.js';

/** What every module may inject: the settings, the clock and the database. */
@Global()
@Module({})
export class CoreModule {
  static for(config: Config, dataSource: DataSource): DynamicModule {
    const providers = [
      { provide: Config, useValue: config },
      { provide: DataSource, useValue: dataSource },
      { provide: EntityManager, useValue: dataSource.manager },
      Clock,
      Metrics,
      Conditions,
      Draining,
      ManagementFailures,
    ];
    return { module: CoreModule, providers, exports: providers };
  }
}

/** The whole backend. */
@Module({})
export class AppModule {
  static for(config: Config, dataSource: DataSource): DynamicModule {
    return {
      module: AppModule,
      imports: [
        CoreModule.for(config, dataSource),
        AccessModule,
        RolesModule,
        AuditModule,
        InstallationModule,
        ProjectsModule,
        UsersModule,
        AuthModule,
        ApiKeysModule,
        QuotasModule,
        LimitsModule,
        KeyCacheModule,
        ReplicasModule,
        VerificationModule,
        UsageModule,
        GatewaysModule,
        BackupModule,
        IntegrityModule,
        HealthModule,
        MetricsModule,
        TracingModule,
      ],
    };
  }
}
