import 'reflect-metadata';
import type { OpenAPIObject } from '@nestjs/swagger';
import { createApp } from './app.setup.js';
import { Config } from '../config/config.js';
import { environmentSchema } from '../config/environment.js';
import { SECRET_NAMES, type GeneratedSecrets } from '../config/generated-secrets.js';
import { dataSource } from '../database/data-source.js';
import { entities } from './entities.js';
import { openApiDocument } from '../openapi/document.js';

/** The document of this build under default settings: nothing is connected to and nothing listens. */
export async function buildOpenApiDocument(): Promise<OpenAPIObject> {
  const unused = Object.fromEntries(SECRET_NAMES.map((name) => [name, `1:${'unused-'.repeat(6)}`])) as GeneratedSecrets;
  const config = new Config(environmentSchema.parse({ LOG_LEVEL: 'silent' }), unused);
  const app = await createApp(config, dataSource('postgres://127.0.0.1:1/none', { max: 1, entities }));
  return openApiDocument(app);
}
