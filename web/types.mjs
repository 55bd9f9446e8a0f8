// Makes src/shapes.ts out of docs/openapi.json, so that the page cannot expect what the interface does not say.
import { readFileSync, writeFileSync } from "node:fs";

const document = JSON.parse(readFileSync(new URL("../docs/openapi.json", import.meta.url), "utf8"));

function type(schema) {
  if (schema === undefined || schema === true) return "unknown";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const some = schema.oneOf ?? schema.anyOf;
  if (some) return [...new Set(some.map(type))].join(" | ");
  if (schema.allOf) return schema.allOf.map(type).join(" & ");
  const kinds = Array.isArray(schema.type) ? schema.type : [schema.type];
  return kinds.map((kind) => one(kind, schema)).join(" | ");
}

function one(kind, schema) {
  switch (kind) {
    case "string": return "string";
    case "boolean": return "boolean";
    case "integer":
    case "number": return "number";
    case "null": return "null";
    case "array": {
      if (schema.prefixItems) return `[${schema.prefixItems.map(type).join(", ")}]`;
      const item = type(schema.items);
      // A pair, a triple.
      if (schema.minItems > 1 && schema.minItems === schema.maxItems) return `[${Array(schema.minItems).fill(item).join(", ")}]`;
      return /[ |&]/.test(item) ? `(${item})[]` : `${item}[]`;
    }
    case "object": {
      if (schema.properties) return fields(schema);
      return `Record<string, ${type(schema.additionalProperties)}>`;
    }
    default: return "unknown";
  }
}

function fields(schema) {
  const required = new Set(schema.required ?? []);
  const lines = Object.entries(schema.properties).map(([name, property]) => {
    // An absent value and a null are the same to the page.
    const mark = required.has(name) ? "" : "?";
    return `  ${JSON.stringify(name)}${mark}: ${type(property)};`;
  });
  return `{\n${lines.join("\n")}\n}`;
}

const shapes = Object.entries(document.components.schemas).map(
  ([name, schema]) => `${schema.description ? `/** ${schema.description.replaceAll("\n", " ")} */\n` : ""}export type ${name} = ${type(schema)};\n`,
);
writeFileSync(
  new URL("src/shapes.ts", import.meta.url),
  `// Made by types.mjs of docs/openapi.json.\n\n${shapes.join("\n")}`,
);
