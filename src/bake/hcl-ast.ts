import type { Span } from './source-text.js';
import type { Value } from './value.js';

/** An expression of HCL, with its place. */
export type Expression = { readonly span: Span } & (
  | { readonly kind: 'literal'; readonly value: Value }
  | { readonly kind: 'template'; readonly parts: readonly TemplatePart[] }
  | { readonly kind: 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'object'; readonly items: readonly ObjectItem[] }
  | ForExpression
  | {
      readonly kind: 'call';
      readonly name: string;
      readonly args: readonly Expression[];
      /** The last argument is a list of arguments: `f(a, list...)`. */
      readonly expandsLast: boolean;
    }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'attribute'; readonly of: Expression; readonly name: string }
  | { readonly kind: 'index'; readonly of: Expression; readonly key: Expression }
  /** `list[*].a.b`: `each` is evaluated with the element under the name {@link SPLAT_ELEMENT}. */
  | { readonly kind: 'splat'; readonly of: Expression; readonly each: Expression }
  | { readonly kind: 'unary'; readonly operator: '-' | '!'; readonly of: Expression }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | {
      readonly kind: 'conditional';
      readonly condition: Expression;
      readonly whenTrue: Expression;
      readonly whenFalse: Expression;
    }
);

export interface ForExpression {
  readonly kind: 'for';
  readonly keyName?: string;
  readonly valueName: string;
  readonly collection: Expression;
  /** Makes an object; without it, a list. */
  readonly key?: Expression;
  readonly value: Expression;
  readonly condition?: Expression;
  /** `key => value...` */
  readonly isGrouped: boolean;
}

/** No identifier of HCL has this form. */
export const SPLAT_ELEMENT = '*';

export type BinaryOperator =
  '||' | '&&' | '==' | '!=' | '<' | '>' | '<=' | '>=' | '+' | '-' | '*' | '/' | '%';

export interface ObjectItem {
  readonly key: Expression;
  readonly value: Expression;
}

/** Strip markers (`~`) are applied by the parser already. */
export type TemplatePart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'interpolation'; readonly expression: Expression }
  | {
      readonly kind: 'if';
      readonly condition: Expression;
      readonly whenTrue: readonly TemplatePart[];
      readonly whenFalse: readonly TemplatePart[];
    }
  | {
      readonly kind: 'for';
      readonly keyName?: string;
      readonly valueName: string;
      readonly collection: Expression;
      readonly body: readonly TemplatePart[];
    };

/** `name = expression` of a body. */
export interface Attribute {
  readonly name: string;
  readonly nameSpan: Span;
  readonly expression: Expression;
}

/** `type "label" { … }` of a body. */
export interface Block {
  readonly type: string;
  readonly labels: readonly { readonly text: string; readonly span: Span }[];
  readonly span: Span;
  readonly body: Body;
}

export interface Body {
  readonly attributes: readonly Attribute[];
  readonly blocks: readonly Block[];
}
