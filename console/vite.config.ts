import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** Assets carry the hash of their content in the name: the server lets browsers keep them for good. */
export default defineConfig({
  base: '/console/',
  plugins: [react()],
  build: { target: 'es2022', assetsInlineLimit: 0, chunkSizeWarningLimit: 700, modulePreload: { polyfill: false } },
  server: { proxy: { '/api': { target: 'http://127.0.0.1:3000' } } },
});
