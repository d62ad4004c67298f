import { Global, Module } from '@nestjs/common';
import { GatewayAuthenticator } from '../access/authenticator.js';
import { ExtAuthzController } from './ext-authz.controller.js';
import { ForwardAuthController } from './forward-auth.controller.js';
import { ForwardAuthService } from './forward-auth.service.js';
import { GatewayKeyAuthenticator } from './gateway-key.authenticator.js';
import { GatewayListener } from './gateway-listener.js';
import { IntrospectController } from './introspect.controller.js';
import { Introspection } from './introspection.service.js';

/** The standard doors: what gateways and OAuth's resource servers ask in words of their own. */
@Global()
@Module({
  controllers: [IntrospectController, ForwardAuthController, ExtAuthzController],
  providers: [
    Introspection,
    ForwardAuthService,
    GatewayListener,
    { provide: GatewayAuthenticator, useClass: GatewayKeyAuthenticator },
  ],
  exports: [GatewayAuthenticator],
})
export class GatewaysModule {}
