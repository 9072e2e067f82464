import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    languageOptions: { globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: "error",
      "no-console": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "no-var": "error",
      "prefer-const": "error",
      // Text of a model is data: nothing here may be read as HTML.
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "Use textContent: what a model wrote is never HTML." },
        { property: "outerHTML", message: "Use textContent: what a model wrote is never HTML." },
        { property: "insertAdjacentHTML", message: "Use elements and textContent." },
      ],
    },
  },
];
