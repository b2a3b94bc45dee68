/** What is being made, before it is handed on as a `T` that nobody changes. */
export type Mutable<T> = { -readonly [K in keyof T]: T[K] };
