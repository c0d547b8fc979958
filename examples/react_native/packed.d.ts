/** Of each file of the bundle, by its path, the asset that Metro made of it. `npm run pack` writes it. */
export const FILES: Record<string, number>;
