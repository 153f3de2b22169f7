/** How the dashboard is built: into the console service, which serves it without Node. */
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const CONSOLE = process.env["TIDEGATE_CONSOLE_URL"] ?? "http://127.0.0.1:8081";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../../services/console/dashboard",
    emptyOutDir: true,
    // The content security policy allows no data: styles or scripts, so that every asset is a file of its own.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  server: { proxy: { "/api": CONSOLE } },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
