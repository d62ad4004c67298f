import { type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { openApiDocument } from './document.js';

/**
 * Swagger UI at `/docs`, the document at `/docs-json`. Its scripts and styles are files of ours, so the content
 * security policy needs no exception. Credentials typed into it live as long as the page: nothing is stored.
 */
export function serveOpenApi(app: NestFastifyApplication): void {
  let document: OpenAPIObject | undefined;
  SwaggerModule.setup('docs', app, () => (document ??= openApiDocument(app)), {
    jsonDocumentUrl: 'docs-json',
    raw: ['json'],
    customSiteTitle: 'Latchkey API',
    swaggerOptions: { tryItOutEnabled: true, displayRequestDuration: true, persistAuthorization: false, defaultModelsExpandDepth: 0 },
  });
}
