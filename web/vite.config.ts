import { defineConfig } from "vite";

// The page comes from one server under a strict content policy: nothing inline, nothing from elsewhere.
export default defineConfig({
  base: "/",
  build: { outDir: "dist", assetsInlineLimit: 0, modulePreload: { polyfill: false }, sourcemap: false },
});
