/** The application whose database this is: what is named after it, and how its operators are spoken to. */
export interface Application {
  /** A lower-case word: the database, and the start of the names of its roles, of the account and of the folders. */
  readonly name: string;
  /** Names of its settings, for sentences that say what to do. */
  readonly settings: {
    /** Where the data directory is. */
    readonly dataDir: string;
    /** The URL of a PostgreSQL that operators run themselves. */
    readonly url: string;
  };
  /** Thrown where a start must not go on. The message is one sentence for an operator. */
  readonly Refusal: new (sentence: string, options?: ErrorOptions) => Error;
}

/** The role that owns the database and runs migrations: the cluster's superuser. */
export const ownerRoleOf = ({ name }: Application): string => `${name}_owner`;

/** The role the application works as: it may log in and nothing else until a migration grants it more. */
export const appRoleOf = ({ name }: Application): string => `${name}_app`;

/** Where root keeps what the PostgreSQL account must reach but cannot reach in a closed home directory. */
export const systemDirectoryOf = ({ name }: Application): string => `/var/lib/${name}`;
