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
