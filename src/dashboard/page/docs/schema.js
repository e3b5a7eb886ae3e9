// Renders schemas of the API document as table rows.

import { h } from '../base/dom.js';

/** Deepest nesting shown, because schemas may be recursive. */
const DEPTH_MAX = 6;

function resolve(api, schema) {
  const name = schema?.$ref?.split('/').pop();
  return name ? { ...api.components.schemas[name], ...schema, $ref: undefined } : schema ?? {};
}

/** Returns a short type name: `string (uuid)`, `"a" | "b"`, `array of …`. */
export function typeOf(api, schema) {
  const one = resolve(api, schema);
  if (one.enum) return one.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (one.oneOf) return [...new Set(one.oneOf.map((choice) => (choice.const ? 'string' : typeOf(api, choice))))].join(' or ');
  if (one.type === 'array') return `array of ${typeOf(api, one.items)}`;
  const types = [one.type ?? 'any'].flat().join(' or ');
  return types + (one.format ? ` (${one.format})` : '') + bounds(one);
}

function bounds({ minimum, maximum }) {
  if (minimum === undefined && maximum === undefined) return '';
  if (minimum === maximum) return ` = ${minimum}`;
  return maximum === undefined ? ` ≥ ${minimum}` : ` ${minimum ?? '…'} to ${maximum}`;
}

/** Returns one row per member, each followed by the rows of its own members. */
export function schemaRows(api, schema, prefix = '', depth = 0) {
  const one = resolve(api, schema);
  if (one.type === 'array') return schemaRows(api, one.items, `${prefix}[]`, depth);
  if (one.oneOf && !one.properties) return one.oneOf.flatMap((choice) => schemaRows(api, choice, prefix, depth));
  if (depth > DEPTH_MAX) return [];
  return Object.entries(one.properties ?? {}).flatMap(([name, member]) => {
    const path = prefix ? `${prefix}.${name}` : name;
    const known = resolve(api, member);
    return [
      h('tr', null,
        h('td', { class: one.required?.includes(name) ? 'must' : null }, path),
        h('td', null, typeOf(api, member)),
        h('td', null, (member.description ?? known.description ?? '').split('`').map((part, index) => (index % 2 ? h('code', null, part) : part)))),
      ...schemaRows(api, member, path, depth + 1),
    ];
  });
}

/** Returns the first example of a media type, if any. */
export function example(content) {
  return content.example ?? Object.values(content.examples ?? {})[0]?.value;
}
