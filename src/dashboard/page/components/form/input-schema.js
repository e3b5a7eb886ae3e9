// Input schemas as instances declare them: the kind of field, bounds and options. Pure, except for translated texts.

import { t } from '../../base/i18n.js';

/** Bounds of at least this size are limits of the number type and are not shown. */
const SHOWN_BOUND_MAX = 1e12;
const TEXTS = ['line', 'text', 'file'];

/**
 * Returns `input` with its declared `kind` and `schema`; unchanged if there is no schema or the value does not match
 * it.
 */
export function applySchema(input, schema) {
  if (!schema || schema.link || input.fileId) return input;
  const kind = kindOf(input, schema);
  return kind ? { ...input, kind, schema } : input;
}

/**
 * Returns the inputs of a node that take a value, with their schemas. A dynamic combo (`variants`) decides which others
 * there are: `chosen(name)` returns its present value. What only another choice brings is left out; what the present one
 * brings is added with its default and `isNew`, unless the workflow already has that choice.
 */
export function shownInputs(node, schema, chosen) {
  const declared = new Map();
  const added = [];
  const combos = [];
  const own = new Map(node.inputs.map((input) => [input.name, input]));
  const collect = (inputs, isNew) => {
    for (const one of inputs) {
      declared.set(one.name, one);
      for (const name of one.sockets?.names ?? []) declared.set(name, { name, link: true });
      if (isNew && !one.link && !own.has(one.name)) added.push(one);
      if (!one.variants) continue;
      combos.push(`${one.name}.`);
      const choice = chosen(one.name) ?? (own.get(one.name)?.value ?? one.default ?? one.options?.[0]);
      collect(one.variants[choice] ?? [], isNew || choice !== own.get(one.name)?.value);
    }
  };
  collect(schema?.inputs ?? [], false);
  const isOfOther = (name) => !declared.has(name) && combos.some((combo) => name.startsWith(combo));
  return [
    ...node.inputs
      .filter((input) => input.kind !== 'link' && !isOfOther(input.name))
      .map((input) => applySchema(input, declared.get(input.name))),
    ...added.map((one) => applySchema(newInput(one), one)),
  ];
}

/** Returns an input that the workflow does not have yet. */
function newInput({ name, type, default: initial, options, seed }) {
  const isNumber = type === 'INT' || type === 'FLOAT';
  const value = initial ?? options?.[0] ?? (isNumber ? 0 : type === 'BOOLEAN' ? false : '');
  const raw = JSON.stringify(value);
  const kind = { number: seed ? 'seed' : 'number', boolean: 'boolean', string: 'line' }[typeof value] ?? 'json';
  return { name, raw, kind, isNew: true, value: kind === 'line' || kind === 'boolean' ? value : raw };
}

function kindOf({ kind }, { type, upload, options, multiline, seed }) {
  const isText = TEXTS.includes(kind);
  const isNumber = kind === 'number' || kind === 'seed';
  if (isText && upload) return 'file';
  if (options?.length && (isText || isNumber || kind === 'boolean')) return 'choice';
  if (isText && type === 'STRING' && kind !== 'file') return multiline ? 'text' : 'line';
  if (isNumber && (type === 'INT' || type === 'FLOAT')) return seed ? 'seed' : 'number';
  return kind === 'boolean' && type === 'BOOLEAN' ? 'boolean' : null;
}

/** Returns bounds and default as a short text, or `''`. */
export function boundsHint({ kind, schema }) {
  if (!schema || kind !== 'number') return '';
  const isShown = (bound) => bound !== undefined && Math.abs(bound) < SHOWN_BOUND_MAX;
  const { min, max } = schema;
  const range = isShown(min)
    ? isShown(max)
      ? t('hint.range', { min, max })
      : t('hint.min', { min })
    : isShown(max)
      ? t('hint.max', { max })
      : '';
  return [range, schema.default !== undefined && t('hint.default', { value: schema.default })].filter(Boolean).join(' · ');
}

/** Returns the error of a typed number, or `null` if the schema allows it. */
export function numberError(text, { type, min, max } = {}) {
  if (type === 'INT' && !/^-?\d+$/.test(text)) return t('field.integer');
  if (min !== undefined && Number(text) < min) return t('field.min', { min });
  if (max !== undefined && Number(text) > max) return t('field.max', { max });
  return null;
}
