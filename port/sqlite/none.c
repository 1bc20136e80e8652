/* SPDX-License-Identifier: ISC */
/* SQLITE_OS_OTHER: SQLite starts without any VFS of its own. */
int sqlite3_os_init(void);
int sqlite3_os_end(void);
int sqlite3_os_init(void) { return 0; }
int sqlite3_os_end(void) { return 0; }
