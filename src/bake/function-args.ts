import {
  booleanOf,
  isList,
  isObject,
  kindOf,
  numberOf,
  settled,
  textOf,
  type Value,
  type ValueObject,
} from './value.js';

/** The arguments of a function of HCL, asked for by place and kind. Errors are plain: the caller knows the place. */
export class FunctionArgs {
  constructor(readonly values: readonly Value[]) {}

  get length(): number {
    return this.values.length;
  }

  any(index: number): Value {
    const value = this.values[index];
    if (value === undefined) throw new Error(`takes more than ${this.values.length} arguments`);
    return settled(value);
  }

  text(index: number): string {
    return this.one(index, textOf, 'a text');
  }

  number(index: number): number {
    return this.one(index, numberOf, 'a number');
  }

  boolean(index: number): boolean {
    return this.one(index, booleanOf, 'true or false');
  }

  list(index: number): readonly Value[] {
    return this.one(index, (value) => (isList(value) ? value : undefined), 'a list');
  }

  object(index: number): ValueObject {
    return this.one(index, (value) => (isObject(value) ? value : undefined), 'an object');
  }

  texts(index: number): string[] {
    return this.list(index).map((item) => {
      const text = textOf(item);
      if (text === undefined)
        throw new Error(`takes a list of texts, and one of its items is ${kindOf(item)}`);
      return text;
    });
  }

  /** All arguments as numbers: one at least. */
  numbers(): number[] {
    this.any(0);
    return this.values.map((_, i) => this.number(i));
  }

  private one<T>(index: number, read: (value: Value) => T | undefined, wanted: string): T {
    const value = this.any(index);
    const found = read(value);
    if (found === undefined) throw new Error(`argument ${index + 1} is ${wanted}, not ${kindOf(value)}`);
    return found;
  }
}
