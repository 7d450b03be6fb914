"""Where does a loop live? Event loop, thread, process, Dask."""
