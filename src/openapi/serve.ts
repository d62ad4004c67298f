import { type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { openApiDocument } from './document.js';

/**
 * Swagger UI at `/docs`, the document at `/docs-json`. Its scripts and styles are files of ours, so the content
 * security policy needs no exception. Credentials typed into it live as long as the page: nothing is stored.
 */
export function serveOpenApi(app: NestFastifyApplication): void {
  let document: OpenAPIObject | undefined;
  const read = (): OpenAPIObject => (document ??= openApiDocument(app));
  // Of our own: the module's route writes the text anew for each request, 26 ms of everybody's time.
  let text: string | undefined;
  app
    .getHttpAdapter()
    .getInstance()
    .get('/docs-json', { config: { isCompressed: true } }, (_request, reply) =>
      reply.type('application/json; charset=utf-8').send((text ??= JSON.stringify(read()))),
    );
  SwaggerModule.setup('docs', app, read, {
    raw: [],
    customSiteTitle: 'Latchkey API',
    swaggerOptions: {
      tryItOutEnabled: true,
      displayRequestDuration: true,
      persistAuthorization: false,
      defaultModelsExpandDepth: 0,
    },
  });
}
